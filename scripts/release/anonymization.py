"""Removal of local paths, which must not be published."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import InputError

# The start of an absolute path: /folder/..., ~/..., C:\..., \\server\....
_PATH = re.compile(r"""(?:^|[\s"'=:,(\[])(?:/[\w.~-]|~[\w.-]*/|[A-Za-z]:[\\/]\w|\\\\\w)""")
_DATA_PATHS = ("root", "records", "cache")


def remove_data_paths(metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Return the metadata without the folders of the data.

    Raises:
        InputError: if it contains other absolute paths.
    """
    config = dict(metadata.config)
    if isinstance(config.get("data"), Mapping):
        config["data"] = config["data"] | dict.fromkeys(_DATA_PATHS)
    public = metadata.model_copy(update={"config": config})
    check_public(public.model_dump(mode="json"), "the metadata of the checkpoint")
    return public


def check_public(content: Mapping[str, Any], where: str) -> None:
    """Check that no entry contains an absolute path.

    Raises:
        InputError: if some do; the message names them.
    """
    found = [f"{key} ({text})" for key, text in _texts(content) if _PATH.search(text)]
    if found:
        raise InputError(f"{where} contains local paths, which must not be released: {'; '.join(found)}")


def _texts(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(value, f"{prefix}.{key}" if prefix else str(key))
            yield prefix or str(key), str(key)
    elif isinstance(content, str):
        yield prefix, content
    elif isinstance(content, Sequence):
        for index, value in enumerate(content):
            yield from _texts(value, f"{prefix}.{index}")
