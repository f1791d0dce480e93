"""Reports that compare tested networks: tables, tests, plots, cases and protocol on one page."""

from acsnet._utils.extras import require_extra

require_extra("report", "a report")

from acsnet.report.images import named_data
from acsnet.report.published import Publication, Published, find_published
from acsnet.report.tested_networks import Network, read_networks
from acsnet.report.write import write_report

__all__ = ["Network", "Publication", "Published", "find_published", "named_data", "read_networks", "write_report"]
