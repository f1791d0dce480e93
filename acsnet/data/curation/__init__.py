"""Curation: duplicates, doubtful masks and burnt-in marks, found before anybody believes a number."""

from acsnet.data.curation.curate import curate
from acsnet.data.curation.findings import FLAGS, Findings, Flag, Pair
from acsnet.data.curation.leak import expected_leak
from acsnet.data.curation.output import check_folder, summarise, write_findings

__all__ = [
    "FLAGS",
    "Findings",
    "Flag",
    "Pair",
    "check_folder",
    "curate",
    "expected_leak",
    "summarise",
    "write_findings",
]
