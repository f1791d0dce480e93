"""A look at every file before anything long starts, and the groups that a split must not part."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from tqdm.auto import tqdm

from acsnet.data.dicom import DicomFacts, is_dicom, read_dicom_facts
from acsnet.data.grouping import group_records
from acsnet.data.image_files import problem_list
from acsnet.data.images import pixel_digest, read_image, read_mask, read_merged_mask
from acsnet.data.records import Record
from acsnet.errors import DataError
from acsnet.labels import NORMAL

logger = logging.getLogger(__name__)


def verify_records(records: Sequence[Record], progress: bool = True, problems: Sequence[str] = ()) -> list[Record]:
    """Decode every image and mask once, and group the images that must stay together.

    One group are images with identical pixels (and so identical files), of the same patient, or of the same group in
    the table they came from. An empty mask of a lesion image, a mask on a normal image, identical images filed under
    several classes and DICOM files with text burned in are logged: published sets have them.

    Args:
        records: what to verify.
        progress: show a progress bar.
        problems: what is known to be wrong already, to be listed with what is found here.

    Returns:
        The records with ``digest``, ``lesion_share`` and ``group`` filled in, and ``spacing`` where only a DICOM
        file says it.

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
    every = [*problems, *(problem for check in checks for problem in check.problems)]
    if every:
        raise DataError(problem_list("the data cannot be used", every))
    verified = [_with_what_was_found(record, check) for record, check in zip(records, checks, strict=True)]
    _log_oddities(verified, checks)
    return group_records(verified)


class _Check(NamedTuple):
    problems: list[str]
    digest: str = ""
    lesion_share: float = 0.0
    dicom: DicomFacts | None = None


def _check(record: Record) -> _Check:
    """Look at one record: the hash of its pixels, how much of it is foreground, or everything that is wrong."""
    try:
        image = read_image(record.image)
        mask = read_merged_mask(record.masks, image.shape[:2])
        facts = read_dicom_facts(record.image) if is_dicom(record.image) else None
    except DataError:
        return _Check(_problems(record))
    return _Check([], pixel_digest(image), float(mask.mean()), facts)


def _with_what_was_found(record: Record, check: _Check) -> Record:
    # A table knows better than a file's header.
    size = record.spacing or (check.dicom.spacing if check.dicom else None)
    return replace(record, digest=check.digest, spacing=size, lesion_share=check.lesion_share)


def _problems(record: Record) -> list[str]:
    """What is wrong with the image and with each of its masks; masks of a broken image have no size to keep to."""
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


def _log_oddities(records: Sequence[Record], checks: Sequence[_Check]) -> None:
    labels = defaultdict(set)
    for record in records:
        labels[record.digest].add(record.label)
    burned_in = [r.name for r, check in zip(records, checks, strict=True) if check.dicom and check.dicom.burned_in]
    oddities = (
        ("lesion images with an empty mask", [r.name for r in records if r.label != NORMAL and not r.lesion_share]),
        ("normal images with a lesion in the mask", [r.name for r in records if r.label == NORMAL and r.lesion_share]),
        ("DICOM files with text burned into the image", burned_in),
        ("identical images of different classes", [r.name for r in records if len(labels[r.digest]) > 1]),
    )
    for what, names in oddities:
        if names:
            logger.warning("%d %s: %s", len(names), what, ", ".join(names[:5]) + (", ..." if len(names) > 5 else ""))
