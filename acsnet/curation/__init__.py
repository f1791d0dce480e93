"""Curation: duplicates, doubtful masks and burned-in marks, found before anybody believes a number."""

from acsnet.curation.curate import curate
from acsnet.curation.findings import FLAGS, Findings, Flag, Pair
from acsnet.curation.leak import expected_leak
from acsnet.curation.output import check_folder, summarize, write_findings

__all__ = [
    "FLAGS",
    "Findings",
    "Flag",
    "Pair",
    "check_folder",
    "curate",
    "expected_leak",
    "summarize",
    "write_findings",
]
