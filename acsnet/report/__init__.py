"""One page about any number of runs: tables, tests, curves, cases, and how they were measured."""

from acsnet.report.networks import Network, read_networks
from acsnet.report.published import Publication, Published, find_published
from acsnet.report.write import write_report

__all__ = ["Network", "Publication", "Published", "find_published", "read_networks", "write_report"]
