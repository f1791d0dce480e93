"""Results of verification, kept in the cache folder so that unchanged images are not decoded again."""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from acsnet._utils.files import WriteError, write_text
from acsnet._utils.reading import read_text
from acsnet.data.decoding import file_fingerprints
from acsnet.data.records import Record, stable_hash
from acsnet.data.spacing import Spacing
from acsnet.errors import DataError
from acsnet.version import __version__

logger = logging.getLogger(__name__)


class ImageFacts(BaseModel):
    """Properties of an image and its masks that only decoding shows; such an image has no problems.

    Attributes:
        digest: SHA-256 of its size and pixels.
        mask_digest: SHA-256 of the size and the pixels of its merged mask.
        lesion_share: fraction of its pixels that are foreground in any mask, 0-1.
        size: (height, width).
        spacing: (vertical, horizontal) mm per pixel from a DICOM header, or None.
        burned_in: whether a DICOM header says that text is burned into the pixels.
        inverted: whether the mask is foreground along the whole border and background somewhere inside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    mask_digest: str
    lesion_share: float
    size: tuple[int, int]
    inverted: bool
    spacing: Spacing | None = None
    burned_in: bool = False


class _Entry(BaseModel):
    fingerprint: str
    facts: ImageFacts


class _Sidecar(BaseModel):
    """One file per folder of images; a file of another package version is ignored."""

    version: str = __version__
    images: dict[str, _Entry] = {}


def read_facts(records: Sequence[Record], folder: Path) -> list[ImageFacts | None]:
    """Return the stored facts of each record; None if unknown, or if the content of its files changed since.

    Args:
        records: the records.
        folder: the cache folder.
    """
    sidecars = {path: _read(path) for path in {_path(record, folder) for record in records}}
    known: list[ImageFacts | None] = []
    for record in records:
        entry = sidecars[_path(record, folder)].images.get(_key(record))
        known.append(entry.facts if entry is not None and entry.fingerprint == record_fingerprint(record) else None)
    return known


def write_facts(
    records: Sequence[Record], facts: Sequence[ImageFacts], fingerprints: Sequence[str | None], folder: Path
) -> None:
    """Store the facts of each record; a cache folder that cannot be written is logged and otherwise ignored.

    Each file is rewritten whole with the entries that it had. If two processes write at the same moment, entries of one
    may be lost; these images are decoded again.

    Args:
        records: the records.
        facts: their facts.
        fingerprints: :func:`record_fingerprint` of each, from before its files were decoded.
        folder: the cache folder.
    """
    entries: defaultdict[Path, dict[str, _Entry]] = defaultdict(dict)
    for record, found, fingerprint in zip(records, facts, fingerprints, strict=True):
        if fingerprint is not None:
            entries[_path(record, folder)][_key(record)] = _Entry(fingerprint=fingerprint, facts=found)
    try:
        for path, added in entries.items():
            write_text(path, _Sidecar(images=_read(path).images | added).model_dump_json())
    except WriteError as error:
        logger.info("the results of verification are not kept for the next run: %s", error)


def _read(path: Path) -> _Sidecar:
    try:
        sidecar = _Sidecar.model_validate_json(read_text(path))
    except (OSError, ValueError):  # ValueError: broken JSON, other keys, or not UTF-8
        return _Sidecar()
    return sidecar if sidecar.version == __version__ else _Sidecar()


def _path(record: Record, folder: Path) -> Path:
    return folder / f"verified-{stable_hash(os.path.realpath(record.image.parent))}.json"


def _key(record: Record) -> str:
    masks = [os.path.realpath(mask) for mask in record.masks]
    return f"{record.image.name} {stable_hash(masks)}"


def record_fingerprint(record: Record) -> str | None:
    """Return a hash of the content of the files of a record, or None if one cannot be read."""
    try:
        return stable_hash(file_fingerprints(record))
    except DataError:
        return None
