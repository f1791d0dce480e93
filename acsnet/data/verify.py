"""A look at every file before anything long starts, and the groups that a split must not part."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from tqdm.auto import tqdm

from acsnet.data.busi import problem_list
from acsnet.data.images import read_image, read_merged_mask
from acsnet.data.records import Record
from acsnet.errors import DataError

logger = logging.getLogger(__name__)

NORMAL = "normal"


def verify_records(records: Sequence[Record], progress: bool = True) -> list[Record]:
    """Decode every image and mask once, and group the images that must stay together.

    One group are images with identical pixels (and so identical files), of the same patient, or of the same group in
    the table they came from. An empty mask of a lesion image, a mask on a normal image and identical images filed under
    several classes are logged: published sets have them.

    Returns:
        The records with ``digest`` and ``group`` filled in; a group bears the name of its first image.

    Raises:
        DataError: listing every file that is missing, truncated or unreadable, and every mask of another size.
    """
    with ThreadPoolExecutor() as pool:
        checks = list(
            tqdm(
                pool.map(_check, records),
                total=len(records),
                desc="checking images",
                unit="image",
                leave=False,
                disable=None if progress else True,
            )
        )
    problems = [check for check in checks if isinstance(check, DataError)]
    if problems:
        raise DataError(problem_list("the data cannot be used", [str(problem) for problem in problems]))
    verified = [replace(record, digest=check[0]) for record, check in zip(records, checks, strict=True)]  # type: ignore[index]
    _log_oddities(verified, [bool(check[1]) for check in checks])  # type: ignore[index]
    return _with_groups(verified)


def _check(record: Record) -> tuple[str, bool] | DataError:
    """Return the hash of the pixels and whether the mask has foreground, or what is wrong."""
    try:
        image = read_image(record.image)
        mask = read_merged_mask(record.masks, image.shape[:2])
    except DataError as error:
        return error
    # The shape belongs to the content: 2x8 and 4x4 images may hold the same bytes.
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest(), bool(mask.any())


def _log_oddities(records: Sequence[Record], has_foreground: Sequence[bool]) -> None:
    labels = defaultdict(set)
    for record in records:
        labels[record.digest].add(record.label)
    pairs = list(zip(records, has_foreground, strict=True))
    oddities = (
        ("lesion images with an empty mask", [r.name for r, mask in pairs if r.label != NORMAL and not mask]),
        ("normal images with a lesion in the mask", [r.name for r, mask in pairs if r.label == NORMAL and mask]),
        ("identical images of different classes", [r.name for r in records if len(labels[r.digest]) > 1]),
    )
    for what, names in oddities:
        if names:
            logger.warning("%d %s: %s", len(names), what, ", ".join(names[:5]) + (", ..." if len(names) > 5 else ""))


def _with_groups(records: Sequence[Record]) -> list[Record]:
    # A graph of records and of what they share: whatever hangs together is a group.
    nodes: dict[tuple[str, str, str], int] = {}
    edges: list[tuple[int, int]] = []
    for index, record in enumerate(records):
        keys = [("pixels", "", record.digest)]
        keys += [("patient", record.dataset, record.patient)] if record.patient else []
        keys += [("group", record.dataset, record.group)] if record.group else []
        edges += [(index, len(records) + nodes.setdefault(key, len(nodes))) for key in keys]
    size = len(records) + len(nodes)
    rows, columns = zip(*edges, strict=True)
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    return [replace(r, group=names.setdefault(int(c), r.name)) for r, c in zip(records, components, strict=False)]
