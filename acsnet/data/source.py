"""The records that a configuration asks for, and their split."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from acsnet.checkpoints import resolve_split
from acsnet.config import DataConfig
from acsnet.data.class_map import check_labels, map_classes, source_labels
from acsnet.data.datasets import dataset_entry, list_datasets
from acsnet.data.folds import Split, split_records
from acsnet.data.image_files import problem_list
from acsnet.data.records import Record, read_record_table
from acsnet.data.split_list import SplitList, read_split_list
from acsnet.data.verify import verify_records
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


def load_records(data: DataConfig, progress: bool = True) -> list[Record]:
    """Read and verify the records of the configured classes, in any of the forms a configuration can name.

    With ``data.split_file`` they are those that it lists.

    Raises:
        DataError: where neither ``data.root`` nor ``data.records`` is set, and for whatever is wrong with the data.
        UnknownNameError: for an unknown ``data.dataset``, unknown names in ``data.class_map``, or an unknown split in
            ``data.split_file``, with near matches.
    """
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
            f"{', '.join(list_datasets())}) or --set data.records=TABLE.csv"
        )
    if listed is not None:
        records = listed.keep(records)
    return verify_records(map_classes(records, data.class_map), progress, problems)


def split_data(records: Sequence[Record], data: DataConfig) -> Split:
    """Split the records of :func:`load_records` as configured: by ``data.split_file``, or by ``data.folds``.

    Raises:
        DataError: as of :func:`split_records` and :meth:`SplitList.split`.
    """
    listed = _split_list(data)
    return split_records(records, data.folds) if listed is None else listed.split(records)


def _split_list(data: DataConfig) -> SplitList | None:
    return None if data.split_file is None else read_split_list(resolve_split(data.split_file))


def scan_records(source: Path, dataset: str) -> list[Record]:
    """List the records of a record table or of a folder without looking into any image.

    Args:
        source: a CSV table, or a folder in a published layout.
        dataset: whose layout the folder has.

    Raises:
        DataError: for a table or folder that is missing or broken.
        UnknownNameError: for an unknown dataset, with near matches.
    """
    entry = dataset_entry(dataset)
    if source.suffix.lower() == ".csv":
        return read_record_table(source)
    records, problems = entry.scan(source, entry.classes)
    if problems:
        logger.warning(problem_list(f"{source} is not whole", problems))
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
    kept: list[Record] = []
    for table, records in every.items():
        kept += [record for record in records if record.label in labels]
        left_out = Counter(record.label for record in records if record.label not in labels)
        if left_out:
            logger.info("left out of %s, not in data.classes: %s", table, dict(left_out))
    if not kept:
        counts = Counter(record.label for records in every.values() for record in records)
        found = ", ".join(f"{count} {label}" for label, count in counts.items())
        raise DataError(
            f"{', '.join(map(str, tables))} has no records of the classes {', '.join(labels)}, only {found}: set "
            "data.classes, or say what they are by data.class_map={label: class}"
        )
    return kept


def _check_disjoint(tables: dict[Path, list[Record]]) -> None:
    """Check that no two tables have an image, or a name of one dataset, in common."""
    problems: list[str] = []
    names: dict[tuple[str, str], Path] = {}
    images: dict[Path, Path] = {}
    for table, records in tables.items():
        for record in records:
            image = record.image.resolve()
            first = names.get((record.dataset, record.name)) or images.get(image)
            if first not in (None, table):
                problems.append(f"{record.dataset}/{record.name} ({image}) is in {first} and in {table}")
            names[record.dataset, record.name] = images[image] = table
    if problems:
        raise DataError(
            problem_list("data.records: tables must not share images, nor names within one 'dataset'", problems)
        )
