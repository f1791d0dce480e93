"""Released checkpoints: their names, what is known of them, and their files."""

from acsnet.released.files import check_released_file, is_path, released_path, resolve_checkpoint, resolve_split
from acsnet.released.index import (
    Figure,
    Recipe,
    ReleasedCheckpoint,
    ReleasedData,
    ReleasedInput,
    ReleasedTest,
    ReleaseIndex,
    WorstCase,
    index_folder,
    list_checkpoints,
    read_index,
    released_checkpoint,
)

__all__ = [
    "Figure",
    "Recipe",
    "ReleaseIndex",
    "ReleasedCheckpoint",
    "ReleasedData",
    "ReleasedInput",
    "ReleasedTest",
    "WorstCase",
    "check_released_file",
    "index_folder",
    "is_path",
    "list_checkpoints",
    "read_index",
    "released_checkpoint",
    "released_path",
    "resolve_checkpoint",
    "resolve_split",
]
