"""Opening of checkpoints: a name or path from the user becomes one object, which the rest of the package uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from acsnet._utils.download import file_sha256
from acsnet.checkpoints.files import (
    check_released_file,
    entry_of_file,
    how_to_give_path,
    is_path,
    locate_released_file,
)
from acsnet.checkpoints.hub import download_weights, is_hub_id, weights_in_folder
from acsnet.checkpoints.index import released_checkpoint
from acsnet.checkpoints.metadata import CheckpointMetadata, parse_metadata
from acsnet.checkpoints.safetensors_file import read_header


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; see :func:`open_checkpoint`.

    Attributes:
        path: the file.
        header: text entries in the header of the file.
        released_name: the released name by which it was opened, or None if it was opened by path.
        verified_sha256: digest of the file if it was checked against the release index, otherwise None.
    """

    path: Path
    header: Mapping[str, str] = field(repr=False, compare=False)
    released_name: str | None = None
    verified_sha256: str | None = field(default=None, repr=False, compare=False)

    @cached_property
    def metadata(self) -> CheckpointMetadata:
        """Metadata of the checkpoint.

        Raises:
            CheckpointError: if it is missing, invalid or of a newer format; plain weights of other programs have none.
        """
        return parse_metadata(self.header, self.path)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal digits, computed at most once."""
        return self.verified_sha256 or file_sha256(self.path)


def open_checkpoint(name_or_path: str | Path | Checkpoint) -> Checkpoint:
    """Open a checkpoint by released name, by path, or by its id on the Hugging Face Hub.

    A text with a path separator or a suffix is a path; any other text is a released name, also if the current folder
    has a file of that name. A path that does not exist and reads ``owner/name`` or ``owner/name@revision`` is a
    repository of the Hub (:mod:`acsnet.checkpoints.hub`). The file of a released checkpoint is downloaded if necessary,
    and its size and SHA-256 are checked whether it is opened by name or by path.

    Args:
        name_or_path: one of ``acsnet.list_checkpoints()``; a ``.safetensors`` file, or a folder that
            ``acsnet.save_pretrained`` wrote; or the id of a repository. A ``Path`` is always a path. An opened
            checkpoint is returned unchanged.

    Returns:
        The opened checkpoint. The weights are not read yet.

    Raises:
        UnknownNameError: if the name is not released; the message lists near matches.
        CheckpointError: if the file is missing, truncated or not safetensors; if a released file is modified or
            unavailable; if the release index is invalid.
        DownloadError: if the file of a released checkpoint or of a repository cannot be downloaded.
        DiskFullError: if there is no space for the download.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import torch
        >>> from acsnet.checkpoints import CheckpointMetadata, open_checkpoint, save_checkpoint
        >>> checkpoint = open_checkpoint("acsnet_busi")  # doctest: +SKIP
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={}, class_names=("benign", "malignant"), input_size=(256, 256),
        ...     mean=(0.33,), std=(0.2,),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "best.safetensors"
        ...     save_checkpoint(path, {"weight": torch.zeros(2)}, metadata)
        ...     checkpoint = open_checkpoint(path)
        >>> checkpoint.metadata.class_names
        ('benign', 'malignant')
    """
    if isinstance(name_or_path, Checkpoint):
        return name_or_path
    if is_path(name_or_path):
        name, path = None, _locate_file(name_or_path)
        entry = entry_of_file(path)
    else:
        name = str(name_or_path)
        entry = released_checkpoint(name, how_to_give_path(name))
        path = locate_released_file(name, entry)
    sha256 = None if entry is None else check_released_file(path, entry)
    return Checkpoint(path, read_header(path), name, sha256)


def _locate_file(path_or_id: str | Path) -> Path:
    """Return the file of a path, of a folder in the format of the Hub, or of a repository."""
    path = Path(path_or_id)
    # pathlib fails on names that no file can have.
    if os.path.isdir(path) and path.suffix != ".safetensors":
        return weights_in_folder(path)
    if isinstance(path_or_id, str) and is_hub_id(path_or_id) and not os.path.lexists(path):
        return download_weights(path_or_id)
    return path
