"""Curation of a dataset: from records to findings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from acsnet.curation.duplicates.search import find_duplicates
from acsnet.curation.examination import examine
from acsnet.curation.findings import Findings
from acsnet.curation.policy import Policy, check_policy, select_images
from acsnet.data.grouping import connected_sets, group_records
from acsnet.data.records import Record
from acsnet.errors import DataError, InputError

# Test shares in common use: an 80/20 split, and one of four folds.
_TEST_SHARES = (0.2, 0.25)


def curate(records: Sequence[Record], policy: Policy = "keep-one", progress: bool = True) -> Findings:
    """Find duplicates and doubtful images, group the images that belong together, and select the images to keep.

    Args:
        records: at least two records; they need not have been verified.
        policy: "keep-one", "drop-all" or "keep-all-grouped"; see :func:`acsnet.curation.policy.select_images`.
        progress: whether to show progress bars.

    Raises:
        DataError: if fewer than two images can be read.
        UnknownNameError: if the policy is unknown.

    Example:
        >>> from pathlib import Path
        >>> from shutil import copy
        >>> from tempfile import TemporaryDirectory
        >>> from acsnet.data import read_busi
        >>> from acsnet.phantom import write_phantoms
        >>> with TemporaryDirectory() as folder:
        ...     root = Path(folder) / "phantoms"
        ...     write_phantoms(root, {"benign": 2, "normal": 1}, size=(64, 64), progress=False)
        ...     for suffix in ("", "_mask"):
        ...         _ = copy(root / "benign" / f"benign (1){suffix}.png", root / "benign" / f"benign (9){suffix}.png")
        ...     findings = curate(read_busi(root), progress=False)
        >>> [record.name for record in findings.records]
        ['benign/benign (1).png', 'benign/benign (2).png', 'benign/benign (9).png', 'normal/normal (1).png']
        >>> [(pair.first, pair.second, pair.relation) for pair in findings.pairs]
        [(0, 2, 'identical')]
        >>> findings.kept
        (True, True, False, True)
    """
    check_policy(policy)
    examinations, descriptions = examine(records, progress)
    readable = [index for index, examination in enumerate(examinations) if examination.size is not None]
    if len(readable) < 2:
        raise DataError(
            f"{len(readable)} of {len(records)} images can be read: curation compares at least two; check the paths of "
            "the records"
        )
    readable_records = [examinations[index].record for index in readable]
    pairs = tuple(
        replace(pair, first=readable[pair.first], second=readable[pair.second])
        for pair in find_duplicates(readable_records, descriptions, progress)
    )
    copy_sets = connected_sets(
        len(records), ((pair.first, pair.second) for pair in pairs if pair.relation != "overlap")
    )
    examined_records = [examination.record for examination in examinations]
    return Findings(
        records=tuple(group_records(examined_records, ((pair.first, pair.second) for pair in pairs))),
        sizes=tuple(examination.size for examination in examinations),
        copy_sets=tuple(copy_sets),
        flags=tuple(examination.flags for examination in examinations),
        histograms=np.stack([examination.histogram for examination in examinations]),
        pairs=pairs,
        policy=policy,
        kept=tuple(select_images(policy, examinations, copy_sets, pairs)),
        leak={share: expected_leak(copy_sets, share) for share in _TEST_SHARES if round(share * len(records)) > 0},
    )


def expected_leak(copy_sets: Sequence[int], test_share: float) -> float:
    """Compute the expected share of test images with a copy in training under a plain random split.

    The value is the mean over all plain random splits. For an image with m - 1 copies among N images, n of them test
    images, all copies are test images too with probability ((n - 1) / (N - 1)) * ((n - 2) / (N - 2)) * ...
    (m - 1 factors); otherwise at least one copy is a training image.

    Args:
        copy_sets: number of the set of copies per image.
        test_share: share of test images, between 0 and 1.

    Returns:
        The expected share, 0-1.

    Raises:
        InputError: if the training or the test subset would be empty.

    Example:
        >>> expected_leak([0, 0, 1, 2, 3], test_share=0.2)
        0.4
    """
    image_count = len(copy_sets)
    test_count = round(image_count * test_share)
    if not 0 < test_count < image_count:
        raise InputError(f"test_share is {test_share} of {image_count} images: the training or test subset is empty")
    expected_leaking = 0.0
    for set_size in Counter(copy_sets).values():
        all_in_test = 1.0
        for copies_in_test in range(1, set_size):
            all_in_test *= max(0, test_count - copies_in_test) / (image_count - copies_in_test)
        expected_leaking += set_size * (1 - all_in_test)
    return expected_leaking / image_count
