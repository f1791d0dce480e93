"""Verification of every file before training or testing, and the groups that a split keeps together."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from acsnet._utils.mask_values import is_inverted
from acsnet.data.decoding import decode_record, map_records
from acsnet.data.dicom import is_dicom, read_dicom_facts
from acsnet.data.grouping import group_records
from acsnet.data.image_files import problem_list
from acsnet.data.images import BoolArray, UInt8Array, pixel_digest, read_image, read_mask, read_merged_mask
from acsnet.data.records import Record
from acsnet.data.verified import ImageFacts, read_facts, record_fingerprint, write_facts
from acsnet.errors import DataError
from acsnet.labels import NORMAL

logger = logging.getLogger(__name__)


def verify_records(
    records: Sequence[Record],
    progress: bool = True,
    problems: Sequence[str] = (),
    folder: str | Path | None = None,
    on_decoded: Callable[[int, UInt8Array, BoolArray], None] | None = None,
) -> list[Record]:
    """Decode every image and mask once, and group the images that must stay together.

    Images are in one group if they have identical pixels (and so identical files), the same patient, or the same group
    in their table. An empty mask of a lesion image, a mask on a normal image, a mask that is foreground along its whole
    border (probably inverted), identical images of different classes and DICOM files with burned-in text are logged,
    because published datasets contain them.

    Args:
        records: the records to verify.
        progress: show a progress bar.
        problems: problems found before, which are listed first.
        folder: the cache folder, in which the results are kept; images that did not change since are not decoded. None
            decodes every image and keeps nothing.
        on_decoded: called with index, image (H, W, 3) and mask (H, W) of each record, on several threads; every image
            is then decoded.

    Returns:
        The records with ``digest``, ``mask_digest``, ``lesion_share`` and ``group`` filled in, and ``spacing`` if only
        a DICOM file has it.

    Raises:
        DataError: listing every file that is missing, truncated or unreadable, and every mask whose size differs from
            that of its image.
    """
    folder = None if folder is None else Path(folder)
    known: list[ImageFacts | None] = [None] * len(records)
    if folder is not None and on_decoded is None:
        known = read_facts(records, folder)
    unknown = [index for index, facts in enumerate(known) if facts is None]

    fingerprints: dict[int, str | None] = {}

    def examine(position: int) -> ImageFacts | list[str]:
        index = unknown[position]
        # Before decoding: a file that is changed afterwards is then decoded again.
        fingerprints[index] = None if folder is None else record_fingerprint(records[index])
        try:
            image, mask = decode_record(records[index])
            facts = _facts(records[index], image, mask)
        except DataError:
            return _problems(records[index])
        if on_decoded is not None:
            on_decoded(index, image, mask)
        return facts

    results = map_records(examine, len(unknown), progress) if unknown else []
    found = [problem for result in results if isinstance(result, list) for problem in result]
    if problems or found:
        raise DataError(problem_list("the data cannot be used", [*problems, *found]))
    new = dict(zip(unknown, (result for result in results if isinstance(result, ImageFacts)), strict=True))
    if folder is not None and new:
        write_facts([records[index] for index in new], [*new.values()], [fingerprints[index] for index in new], folder)
    every = [new[index] if facts is None else facts for index, facts in enumerate(known)]
    verified = [_with_facts(record, facts) for record, facts in zip(records, every, strict=True)]
    _log_oddities(verified, every)
    return group_records(verified)


def _facts(record: Record, image: UInt8Array, mask: BoolArray) -> ImageFacts:
    header = read_dicom_facts(record.image) if is_dicom(record.image) else None
    return ImageFacts(
        digest=pixel_digest(image),
        mask_digest=pixel_digest(mask.astype(np.uint8)),
        lesion_share=float(mask.mean()),
        size=image.shape[:2],
        inverted=is_inverted(mask),
        spacing=header.spacing if header else None,
        burned_in=bool(header and header.burned_in),
    )


def _with_facts(record: Record, facts: ImageFacts) -> Record:
    # The spacing in a table takes precedence over the header of a file.
    spacing = record.spacing or facts.spacing
    return replace(
        record,
        digest=facts.digest,
        mask_digest=facts.mask_digest,
        spacing=spacing,
        lesion_share=facts.lesion_share,
    )


def _problems(record: Record) -> list[str]:
    """List the problems of the image and of each mask; masks of a broken image are not compared in size."""
    problems: list[str] = []
    size: tuple[int, ...] | None = None
    try:
        size = read_image(record.image).shape[:2]
        if is_dicom(record.image):
            read_dicom_facts(record.image)
    except DataError as error:
        problems.append(str(error))
    for path in record.masks:
        try:
            read_merged_mask([path], size or read_mask(path).shape)
        except DataError as error:
            problems.append(str(error))
    return problems


def _log_oddities(records: Sequence[Record], facts: Sequence[ImageFacts]) -> None:
    labels = defaultdict(set)
    for record in records:
        labels[record.digest].add(record.label)
    burned_in = [record.name for record, found in zip(records, facts, strict=True) if found.burned_in]
    inverted = [record.name for record, found in zip(records, facts, strict=True) if found.inverted]
    oddities = (
        ("lesion images with an empty mask", [r.name for r in records if r.label != NORMAL and not r.lesion_share]),
        ("normal images with a lesion in the mask", [r.name for r in records if r.label == NORMAL and r.lesion_share]),
        ("masks that are foreground along the whole border, as if inverted", inverted),
        ("DICOM files with text burned into the image", burned_in),
        ("identical images of different classes", [r.name for r in records if len(labels[r.digest]) > 1]),
    )
    for description, names in oddities:
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            logger.warning("%d %s: %s", len(names), description, shown)
