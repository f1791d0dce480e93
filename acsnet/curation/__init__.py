"""Curation of a dataset: duplicates, conflicting labels, doubtful masks and burned-in marks."""

from acsnet._utils.extras import require_extra

require_extra("report", "curation")

from acsnet.curation.curate import curate, expected_leak
from acsnet.curation.findings import FLAG_DESCRIPTIONS, CurationFlag, Findings, ImagePair
from acsnet.curation.output import check_folder, summarize, write_findings

__all__ = [
    "FLAG_DESCRIPTIONS",
    "CurationFlag",
    "Findings",
    "ImagePair",
    "check_folder",
    "curate",
    "expected_leak",
    "summarize",
    "write_findings",
]
