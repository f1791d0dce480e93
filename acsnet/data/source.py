"""Loading of the records that a configuration names, and their split."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from acsnet._utils.file_kinds import file_fault
from acsnet._utils.files import cache_folder
from acsnet.checkpoints import resolve_split
from acsnet.checkpoints.files import is_path
from acsnet.config import VALIDATED_ON_TEST, DataConfig
from acsnet.data.cache import ImageCache, Store
from acsnet.data.class_map import check_labels, map_classes, source_labels
from acsnet.data.datasets import dataset_entry, list_datasets
from acsnet.data.folds import Split, split_records
from acsnet.data.frame_paths import file_of
from acsnet.data.framing import Framing
from acsnet.data.image_files import file_identity, problem_list
from acsnet.data.image_list import ImageList, read_image_list
from acsnet.data.records import Record, read_record_table
from acsnet.data.split_list import SplitList, read_split_list
from acsnet.data.verify import verify_records
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


class CachedRecords(NamedTuple):
    """Verified records, and the cache of their images in the same order."""

    records: list[Record]
    cache: ImageCache


def load_records(data: DataConfig, progress: bool = True) -> list[Record]:
    """Read and verify the records of the configured classes, from a folder or from tables.

    With ``data.split_file``, only the records that it lists are returned. Images that were verified before and did not
    change are not decoded.

    Raises:
        DataError: if neither ``data.root`` nor ``data.records`` is set, and for any problem of the data.
        UnknownNameError: for an unknown ``data.dataset``, unknown names in ``data.class_map``, or an unknown split in
            ``data.split_file``, with near matches.
    """
    records, problems = _read_records(data)
    return verify_records(records, progress, problems, data.cache or cache_folder())


def list_records(data: DataConfig) -> list[Record]:
    """List the records that :func:`load_records` reads and verifies, without decoding any image.

    Raises:
        DataError: as :func:`load_records`, except for problems of single images and masks.
        UnknownNameError: as :func:`load_records`.
    """
    return _read_records(data)[0]


def load_cached_records(data: DataConfig, channels: int, progress: bool = True) -> CachedRecords:
    """Read and verify records as :func:`load_records`, and cache their images, decoding each at most once.

    Args:
        data: the data section of the configuration.
        channels: 3 for RGB, 1 for luminance.
        progress: show a progress bar.

    Raises:
        DataError: as :func:`load_records`.
        UnknownNameError: as :func:`load_records`.
        DiskFullError: if the disk is full.
    """
    records, problems = _read_records(data)
    folder = data.cache or cache_folder()
    verified: list[Record] | None = None

    def fill(store: Store) -> None:
        nonlocal verified
        verified = verify_records(records, progress, problems, folder, store)

    if problems or any(file_fault(file_of(path)) for record in records for path in (record.image, *record.masks)):
        # A cache needs every file; this raises an error that lists all problems.
        verify_records(records, progress, problems)
    cache = ImageCache(records, data.image_size, channels, folder, fill=fill, framing=Framing.of(data))
    return CachedRecords(verify_records(records, progress, folder=folder) if verified is None else verified, cache)


def _read_records(data: DataConfig) -> tuple[list[Record], list[str]]:
    """Return the records of the configured classes, not verified, and the problems of their folder."""
    listed = _split_list(data)
    labels = source_labels(data.classes, data.class_map)
    problems: list[str] = []
    if data.records is not None:
        records = _from_tables(data, labels)
    elif data.root is not None:
        records, problems = _from_root(data, data.root, labels)
    else:
        raise DataError(
            "no data is named: --set data.root=FOLDER (in BUSI's layout, or in that of data.dataset: "
            f"{', '.join(list_datasets())}) or --set data.records=TABLE.csv{_hint(data.dataset)}"
        )
    if listed is not None:
        records = listed.keep(records)
    if data.image_list is not None:
        records = _image_list(data.image_list, labels).keep(records, data.allow_missing)
    return map_classes(records, data.class_map), [*problems, *_repeated_files(records)]


def _hint(dataset: str) -> str:
    entry = dataset_entry(dataset)
    if not entry.files:
        return ""
    folder = Path("data") / (entry.folder or entry.name)
    return f"; acsnet download {entry.name} writes it to {folder}, where acsnet test also looks"


def _repeated_files(records: Sequence[Record]) -> list[str]:
    """List images that are one file under two names, by a link or another spelling, and images that are their mask."""
    problems: list[str] = []
    first: dict[tuple[object, ...], Path] = {}
    for record in records:
        identity = file_identity(record.image)
        problems += [
            f"{mask} is the same file as its image {record.image}: name the file of the mask"
            for mask in record.masks
            if file_identity(mask) == identity
        ]
        other = first.setdefault(identity, record.image)
        if other is not record.image:
            problems.append(f"{record.image} is the same file as {other}: leave out one of the two")
    return problems


def split_data(records: Sequence[Record], data: DataConfig) -> Split:
    """Split the records of :func:`load_records` as configured: by ``data.split_file``, or by ``data.folds``.

    Raises:
        DataError: see :func:`split_records` and :meth:`SplitList.split`.
    """
    listed = _split_list(data)
    if listed is not None:
        return listed.split(records, data.folds.validation == VALIDATED_ON_TEST)
    images = (
        None if data.image_list is None else _image_list(data.image_list, source_labels(data.classes, data.class_map))
    )
    if not isinstance(images, ImageList):
        return split_records(records, data.folds)
    return split_records(
        records, data.folds, {name: data.class_map.get(label, label) for name, label in images.labels.items()}
    )


def _image_list(name_or_path: Path, labels: Collection[str]) -> ImageList | SplitList:
    """Return the images to use: those of a list, or those of all subsets of a released split."""
    if is_path(name_or_path):
        return read_image_list(name_or_path).of_classes(labels)
    return read_split_list(resolve_split(name_or_path)).of_classes(labels)


def _split_list(data: DataConfig) -> SplitList | None:
    return None if data.split_file is None else read_split_list(resolve_split(data.split_file))


def scan_records(source: Path, dataset: str) -> list[Record]:
    """List the records of a record table or of a folder without decoding any image.

    Args:
        source: a CSV table, or a folder in a published layout.
        dataset: name of the dataset whose layout the folder has.

    Raises:
        DataError: if the table or folder is missing or broken.
        UnknownNameError: for an unknown dataset, with near matches.
    """
    entry = dataset_entry(dataset)
    if source.suffix.lower() == ".csv":
        return read_record_table(source)
    records, problems = entry.scan(source, entry.classes)
    if problems:
        logger.warning(problem_list(f"{source} is incomplete", problems))
    return records


def _from_root(data: DataConfig, root: Path, labels: Sequence[str]) -> tuple[list[Record], list[str]]:
    records, problems = dataset_entry(data.dataset).scan(root, labels)
    if not problems:
        check_labels(data.class_map, {record.label for record in records})
    return records, problems


def _from_tables(data: DataConfig, labels: Sequence[str]) -> list[Record]:
    tables = data.records or ()
    every = {table: read_record_table(table) for table in tables}
    _check_disjoint(every)
    check_labels(data.class_map, {record.label for records in every.values() for record in records})
    selected: list[Record] = []
    for table, records in every.items():
        selected += [record for record in records if record.label in labels]
        skipped = Counter(record.label for record in records if record.label not in labels)
        if skipped:
            logger.info("skipped in %s, not in data.classes: %s", table, dict(skipped))
    if not selected:
        counts = Counter(record.label for records in every.values() for record in records)
        found = ", ".join(f"{count} {label}" for label, count in counts.items())
        raise DataError(
            f"{', '.join(map(str, tables))} has no records of the classes {', '.join(labels)}, only {found}: set "
            "data.classes, or map the labels by data.class_map={label: class}"
        )
    return selected


def _check_disjoint(tables: dict[Path, list[Record]]) -> None:
    """Check that no two tables share an image, or a name within one dataset."""
    problems: list[str] = []
    names: dict[tuple[str, str], Path] = {}
    images: dict[tuple[object, ...], Path] = {}
    for table, records in tables.items():
        for record in records:
            image = file_identity(record.image)
            first = names.get((record.dataset, record.name)) or images.get(image)
            if first not in (None, table):
                problems.append(f"{record.dataset}/{record.name} ({record.image}) is in {first} and in {table}")
            names[record.dataset, record.name] = images[image] = table
    if problems:
        raise DataError(
            problem_list("data.records: tables must not share images, nor names within one 'dataset'", problems)
        )
