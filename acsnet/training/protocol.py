"""The data that the protocol of a publication needs."""

from collections import Counter
from collections.abc import Sequence

from acsnet.config import Config
from acsnet.data import Record
from acsnet.errors import DataError
from acsnet.metrics.published import PUBLISHED_METRICS


def check_protocol_data(config: Config, records: Sequence[Record]) -> None:
    """Check that a training by the protocol of a publication has the images of that publication.

    Args:
        config: the configuration; without ``protocol``, or with ``data.allow_missing``, any data is accepted.
        records: the records of the data.

    Raises:
        DataError: if a class of the publication has another number of images; the message names the configuration that
            suits other data.
    """
    protocol = config.protocol
    if protocol is None or config.data.allow_missing:
        return
    found = Counter(record.label for record in records)
    if found != Counter(protocol.images):
        title = PUBLISHED_METRICS[protocol.publication].title
        raise DataError(
            f"the protocol of {title} uses {_counts(protocol.images)}, the data has {_counts(found)}: use "
            f"the configuration {_name_of(protocol.instead)} for other data, or set data.allow_missing=true to follow "
            "the protocol without the published images"
        )


def _name_of(path: str) -> str:
    """Return the name of a configuration of the project from its path in a clone."""
    return path.removeprefix("configs/").removesuffix(".yaml")


def _counts(images: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in images.items()) or "no images"
