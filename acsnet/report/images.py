"""The tested images, located by the configurations of the networks."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from acsnet.config import DataConfig, build_config
from acsnet.data import Record
from acsnet.data.images import read_mask, read_merged_mask
from acsnet.data.records import read_record_table
from acsnet.data.source import scan_records
from acsnet.errors import AcsnetError, ConfigError, DataError
from acsnet.report.tested_networks import Network

# Dataset and name of an image.
ImageKey = tuple[str, str]


# Keys of the configuration that say where images are.
_PLACES = ("data.root", "data.records", "data.dataset")
_WAY_OUT = (
    "--set data.root=FOLDER (with --set data.dataset=NAME as for the test) or --set data.records=TABLE.csv says where "
    "they are"
)
#: Why a picture of the page is missing.
NOT_FOUND = f"The images were not found: in acsnet report, {_WAY_OUT}."


def named_data(overrides: Sequence[str]) -> DataConfig | None:
    """Return the data that overrides of ``data.root``, ``data.records`` and ``data.dataset`` name.

    Args:
        overrides: ``data.root=FOLDER`` and the like; without any, None is returned.

    Raises:
        ConfigError: if an override is of another key, or its value is wrong.
        DataError: if they name no data, or data that is missing.

    Example:
        >>> from acsnet.report.images import named_data
        >>> named_data([]) is None
        True
    """
    if not overrides:
        return None
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key not in _PLACES:
            raise ConfigError(f"--set {override}: a report only takes {', '.join(_PLACES[:-1])} and {_PLACES[-1]}")
    data = build_config({"model": {"name": "acsnet"}}, overrides, "--set").data
    if data.root is None and data.records is None:
        raise DataError(f"--set {' '.join(overrides)} names no data: {_WAY_OUT}")
    for path in [data.root] if data.records is None else data.records:
        if path is not None and not path.exists():
            raise DataError(f"--set {' '.join(overrides)}: {path} does not exist")
    return data


def find_records(
    networks: Sequence[Network], data: DataConfig | None = None
) -> tuple[dict[ImageKey, Record], list[str]]:
    """Find the records of the tested images in the data that the networks' configurations name.

    Args:
        networks: the networks.
        data: further data, from :func:`named_data`; the configurations are asked for what is not there.

    Returns:
        The records by dataset and name of the image, and one line per problem because of which images were not found.
    """
    tested = {image for network in networks for image in network.result.images}
    found: dict[ImageKey, Record] = {}
    problems: list[str] = []
    for source in [*([] if data is None else [data]), *_sources(networks)]:
        if data is not None and found.keys() >= tested:
            break
        try:
            records = _scan(source)
        except AcsnetError as error:
            problems.append(str(error))
            continue
        found |= {(record.dataset, record.name): record for record in records}
    found = {image: record for image, record in found.items() if image in tested}
    if len(found) < len(tested):
        problems.append(
            f"{len(tested) - len(found)} of {len(tested)} tested images are not in the data that the configurations "
            f"name (data.root or data.records in config.yaml): their pictures are missing; {_WAY_OUT}"
        )
    return found, problems


def _sources(networks: Sequence[Network]) -> list[DataConfig]:
    """Return the distinct data sections of the configurations."""
    configs = [training.config.data for network in networks for training in network.trainings if training.config]
    return [*{(data.root, data.records, data.dataset): data for data in configs}.values()]


def _scan(data: DataConfig) -> list[Record]:
    if data.records is not None:
        return [record for table in data.records for record in read_record_table(table)]
    if data.root is not None:
        return scan_records(data.root, data.dataset)
    raise DataError("the configuration names no data (data.root or data.records): no pictures of its images")


def lesion_fractions(records: Mapping[ImageKey, Record]) -> dict[ImageKey, float]:
    """Return the fraction of lesion pixels in the true mask of each image, 0-1, without masks that cannot be read."""

    def measure(record: Record) -> float | None:
        if not record.masks:
            return 0.0
        try:
            # A mask has the size of its image, and is faster to read.
            return float(read_merged_mask(record.masks, read_mask(record.masks[0]).shape).mean())
        except DataError:
            return None

    with ThreadPoolExecutor() as pool:
        fractions = dict(zip(records, pool.map(measure, records.values()), strict=True))
    return {image: fraction for image, fraction in fractions.items() if fraction is not None}
