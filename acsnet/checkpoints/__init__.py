"""Checkpoints: files of weights with metadata, and the index of the released ones."""

from acsnet.checkpoints.files import check_released_file, is_path, resolve_split
from acsnet.checkpoints.index import (
    Estimate,
    Recipe,
    ReleasedCheckpoint,
    ReleasedData,
    ReleasedInput,
    ReleasedTest,
    ReleaseIndex,
    TestedOperatingPoint,
    TestedOperatingPoints,
    WorstCase,
    index_folder,
    list_checkpoints,
    read_index,
    released_checkpoint,
)
from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.checkpoints.opening import Checkpoint, open_checkpoint
from acsnet.checkpoints.operating_points import OperatingPoint, OperatingPoints, Rate
from acsnet.checkpoints.safetensors_file import (
    load_weights,
    read_header,
    read_metadata,
    read_weights,
    rewrite_metadata,
    save_checkpoint,
    weights_sha256,
)

__all__ = [
    "Checkpoint",
    "CheckpointMetadata",
    "Estimate",
    "OperatingPoint",
    "OperatingPoints",
    "Rate",
    "Recipe",
    "ReleaseIndex",
    "ReleasedCheckpoint",
    "ReleasedData",
    "ReleasedInput",
    "ReleasedTest",
    "TestedOperatingPoint",
    "TestedOperatingPoints",
    "WorstCase",
    "check_released_file",
    "index_folder",
    "is_path",
    "list_checkpoints",
    "load_weights",
    "open_checkpoint",
    "read_header",
    "read_index",
    "read_metadata",
    "read_weights",
    "released_checkpoint",
    "resolve_split",
    "rewrite_metadata",
    "save_checkpoint",
    "weights_sha256",
]
