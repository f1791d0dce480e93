"""Curation of a dataset from its records to the tables and the report."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from acsnet.curation.duplicates import find_duplicates
from acsnet.curation.examination import Examination, examine
from acsnet.curation.findings import Findings, Pair
from acsnet.curation.leak import expected_leak
from acsnet.curation.policy import Policy, check_policy, choose
from acsnet.data.grouping import connected_sets, group_records
from acsnet.data.records import Record
from acsnet.errors import DataError

# The test shares of the publications: 80/20, and one of four folds.
_TEST_SHARES = (0.2, 0.25)


def curate(records: Sequence[Record], policy: Policy = "keep-one", progress: bool = True) -> Findings:
    """Find duplicates and doubtful images, group what a split must not part, and choose what to keep.

    Args:
        records: at least two; they need not have been verified.
        policy: see :func:`acsnet.curation.policy.choose`.
        progress: show progress bars.

    Raises:
        DataError: for fewer than two images that can be read.
        UnknownNameError: for an unknown policy.
    """
    check_policy(policy)
    examined = examine(records, progress)
    readable = [index for index, examination in enumerate(examined) if examination.description is not None]
    if len(readable) < 2:
        raise DataError(f"{len(readable)} of {len(records)} images can be read: there is nothing to compare")
    pairs = _find_pairs(examined, readable, progress)
    copies = connected_sets(len(records), ((p.first, p.second) for p in pairs if p.relation != "overlap"))
    return Findings(
        records=tuple(group_records([e.record for e in examined], ((pair.first, pair.second) for pair in pairs))),
        sizes=tuple(e.description.size if e.description else None for e in examined),
        copies=tuple(copies),
        flags=tuple(e.flags for e in examined),
        histograms=np.stack([e.histogram for e in examined]),
        pairs=pairs,
        policy=policy,
        kept=tuple(choose(policy, examined, copies, pairs)),
        leak={share: expected_leak(copies, share) for share in _TEST_SHARES if round(share * len(records)) > 0},
    )


def _find_pairs(examined: Sequence[Examination], readable: Sequence[int], progress: bool) -> tuple[Pair, ...]:
    records = [examined[index].record for index in readable]
    descriptions = [d for index in readable if (d := examined[index].description) is not None]
    pairs = find_duplicates(records, descriptions, progress)
    return tuple(replace(pair, first=readable[pair.first], second=readable[pair.second]) for pair in pairs)
