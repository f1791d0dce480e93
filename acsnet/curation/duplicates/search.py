"""Search for images that show the same scan: exact copies, near copies and overlaps."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from acsnet._utils.threads import map_in_chunks
from acsnet.curation.duplicates.alignment import Transform, align, align_identical
from acsnet.curation.duplicates.candidates import propose_pairs
from acsnet.curation.duplicates.description import Description
from acsnet.curation.duplicates.similarity import structural_similarity
from acsnet.curation.findings import Conflict, ImagePair, Relation
from acsnet.data.records import Record

# Structural similarity of the shared area after alignment. In BUSI, the most similar pairs of different scans reach
# 0.36, neighboring frames of one examination 0.40 to 0.87, and copies 0.92 or more.
MIN_OVERLAP_SIMILARITY = 0.40
MIN_COPY_SIMILARITY = 0.90
# The outlines of one lesion by two readers have a Dice of 0.8 to 0.9.
MIN_MASK_DICE = 0.75
# Descriptions in memory at once: candidates are in the order of their first image, which has a dozen of them.
_REMEMBERED = 128


def find_duplicates(
    records: Sequence[Record], descriptions: Sequence[Description], progress: bool = True
) -> tuple[ImagePair, ...]:
    """Find the pairs of images that show the same scan, completely or in part.

    Candidates from :func:`~acsnet.curation.duplicates.candidates.propose_pairs` are aligned, and classified by the
    structural similarity of their shared area. A pair is

    - identical if the hashes of the pixels are equal; each image of a set of identical images is paired with the first;
    - a copy if the similarity is at least 0.9 (rescaled, re-encoded, cropped, mirrored, other brightness, other
      captions or calipers);
    - an overlap if it is at least 0.4: the same tissue framed differently or a moment later.

    Args:
        records: records with ``digest`` filled in.
        descriptions: one description per record.
        progress: whether to show progress bars.

    Returns:
        The pairs, sorted by the first, then by the second position.
    """
    candidates = _identical_pairs(records)
    candidates += [
        (first, second, mirrored)
        for first, second, mirrored in propose_pairs(descriptions, progress)
        if records[first].digest != records[second].digest
    ]

    @lru_cache(_REMEMBERED)
    def describe(index: int, mirrored: bool) -> Description:
        return describe(index, False).mirrored() if mirrored else descriptions[index]

    def compare(candidate: tuple[int, int, bool]) -> ImagePair | None:
        return _compare(records, describe, *candidate)

    best: dict[tuple[int, int], ImagePair] = {}
    disable_bar = None if progress else True
    # Each thread multiplies small matrices; additional threads of the linear algebra library would slow it down.
    with threadpool_limits(1), ThreadPoolExecutor() as pool:
        compared = map_in_chunks(pool, compare, candidates)
        for pair in tqdm(compared, "comparing", len(candidates), leave=False, unit="pair", disable=disable_bar):
            # A pair can be a candidate twice, as it is and mirrored.
            known = best.get((pair.first, pair.second)) if pair else None
            if pair and (known is None or known.aligned_ssim < pair.aligned_ssim):
                best[pair.first, pair.second] = pair
    return tuple(pair for _, pair in sorted(best.items()))


def _identical_pairs(records: Sequence[Record]) -> list[tuple[int, int, bool]]:
    by_digest = defaultdict(list)
    for index, record in enumerate(records):
        by_digest[record.digest].append(index)
    return [(first, second, False) for first, *others in by_digest.values() for second in others]


def _compare(
    records: Sequence[Record], describe: Callable[[int, bool], Description], first: int, second: int, mirrored: bool
) -> ImagePair | None:
    first_description, second_description = describe(first, mirrored), describe(second, False)
    identical = records[first].digest == records[second].digest
    alignment = (align_identical if identical else align)(first_description, second_description)
    if alignment is None or alignment.similarity < MIN_OVERLAP_SIMILARITY:
        return None
    relation: Relation = (
        "identical" if identical else "copy" if alignment.similarity >= MIN_COPY_SIMILARITY else "overlap"
    )
    conflicts: list[Conflict] = []
    if records[first].label != records[second].label:
        conflicts.append("class")
    # Neighboring frames may show the lesion at different positions.
    if relation != "overlap" and alignment.mask_dice is not None and alignment.mask_dice < MIN_MASK_DICE:
        conflicts.append("mask")
    return ImagePair(
        first=first,
        second=second,
        relation=relation,
        ssim=structural_similarity(first_description.square, second_description.square),
        aligned_ssim=alignment.similarity,
        overlap=alignment.overlap,
        mirrored=mirrored,
        transform=_to_original_pixels(alignment.transform, first_description, second_description, mirrored),
        mask_dice=alignment.mask_dice,
        conflicts=tuple(conflicts),
    )


def _to_original_pixels(transform: Transform, first: Description, second: Description, mirrored: bool) -> Transform:
    """Convert a map between the reduced images to one between the original images."""
    matrix = np.linalg.inv(_to_reduced(second)) @ np.vstack((transform, (0, 0, 1))) @ _to_reduced(first)
    if mirrored:
        matrix = matrix @ np.array([[-1, 0, first.size[1] - 1], [0, 1, 0], [0, 0, 1]])
    return matrix[:2]


def _to_reduced(description: Description) -> Transform:
    """Return the (3, 3) map from original to reduced coordinates; coordinates are those of pixel centers."""
    y, x = (reduced / original for reduced, original in zip(description.reduced.shape, description.size, strict=True))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
