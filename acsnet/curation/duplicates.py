"""Images that show the same scan: exact copies, near copies, and the same tissue seen again."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from acsnet.curation.alignment import Transform, align, lay_identical
from acsnet.curation.candidates import propose_pairs
from acsnet.curation.description import Description
from acsnet.curation.findings import Conflict, Pair, Relation
from acsnet.curation.similarity import structural_similarity
from acsnet.data.records import Record

# Structural similarity of what two images share, once aligned. On BUSI the pairs of different scans that are most alike
# reach 0.36, neighboring frames of one examination 0.40 to 0.87, copies 0.92 and more.
SAME_TISSUE = 0.40
SAME_SCAN = 0.90
# Two readers outline a lesion with a Dice of 0.8 to 0.9.
SAME_MASK = 0.75


def find_duplicates(
    records: Sequence[Record], descriptions: Sequence[Description], progress: bool = True
) -> tuple[Pair, ...]:
    """Find the pairs of images that show the same scan, wholly or in part.

    Candidates are proposed by :func:`propose_pairs`, laid over each other and judged by the structural similarity of
    what they share. A pair is

    - identical: by the hash of its pixels; in a set of identical images each is paired with the first;
    - a copy: at least 0.9 (rescaled, re-encoded, cropped, mirrored, other brightness, other captions or calipers);
    - an overlap: at least 0.4, the same tissue framed differently or a moment later.

    Args:
        records: with ``digest`` filled in.
        descriptions: one a record.
        progress: show progress bars.

    Returns:
        The pairs by first, then second position.
    """
    candidates = _identical(records)
    candidates += [
        (first, second, mirrored)
        for first, second, mirrored in propose_pairs(descriptions, progress)
        if records[first].digest != records[second].digest
    ]

    def compare(candidate: tuple[int, int, bool]) -> Pair | None:
        return _compare(records, descriptions, *candidate)

    found: dict[tuple[int, int], Pair] = {}
    hidden = None if progress else True
    # Each thread multiplies small matrices: threads of the linear algebra's own would only be in the way.
    with threadpool_limits(1), ThreadPoolExecutor() as pool:
        work = pool.map(compare, candidates)
        for pair in tqdm(work, "comparing", len(candidates), leave=False, unit="pair", disable=hidden):
            known = found.get((pair.first, pair.second)) if pair else None
            if pair and (known is None or known.aligned_ssim < pair.aligned_ssim):
                found[pair.first, pair.second] = pair
    return tuple(pair for _, pair in sorted(found.items()))


def _identical(records: Sequence[Record]) -> list[tuple[int, int, bool]]:
    same = defaultdict(list)
    for index, record in enumerate(records):
        same[record.digest].append(index)
    return [(first, second, False) for first, *others in same.values() for second in others]


def _compare(
    records: Sequence[Record], descriptions: Sequence[Description], first: int, second: int, mirrored: bool
) -> Pair | None:
    one, other = descriptions[first], descriptions[second]
    one = one.mirrored() if mirrored else one
    identical = records[first].digest == records[second].digest
    alignment = lay_identical(one, other) if identical else align(one, other)
    if alignment is None or alignment.similarity < SAME_TISSUE:
        return None
    relation: Relation = "identical" if identical else "copy" if alignment.similarity >= SAME_SCAN else "overlap"
    conflicts: list[Conflict] = []
    if records[first].label != records[second].label:
        conflicts.append("class")
    # Neighboring frames may well show the lesion elsewhere.
    if relation != "overlap" and alignment.mask_dice is not None and alignment.mask_dice < SAME_MASK:
        conflicts.append("mask")
    return Pair(
        first=first,
        second=second,
        relation=relation,
        ssim=structural_similarity(one.whole, other.whole),
        aligned_ssim=alignment.similarity,
        overlap=alignment.overlap,
        mirrored=mirrored,
        transform=_between_images(alignment.transform, one, other, mirrored),
        mask_dice=alignment.mask_dice,
        conflicts=tuple(conflicts),
    )


def _between_images(transform: Transform, one: Description, other: Description, mirrored: bool) -> Transform:
    """Turn a map between the small pictures into one between the images themselves."""
    matrix = np.linalg.inv(_to_picture(other)) @ np.vstack((transform, (0, 0, 1))) @ _to_picture(one)
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, one.size[1] - 1], [0, 1, 0], [0, 0, 1]])
    return matrix[:2]


def _to_picture(description: Description) -> Transform:
    """The (3, 3) map of an image's coordinates to those of its picture; coordinates are those of pixel centers."""
    y, x = (small / large for small, large in zip(description.picture.shape, description.size, strict=True))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
