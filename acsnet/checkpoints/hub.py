"""Checkpoints in the format of the Hugging Face Hub: folders and repositories with the file ``model.safetensors``."""

import re
from pathlib import Path
from typing import Any

from acsnet.errors import CheckpointError, DownloadError, InputError

WEIGHTS_NAME = "model.safetensors"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB_ID = re.compile(rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9._/-]+))?")
# Names with these suffixes are files, which may be missing.
_FILE_SUFFIX = re.compile(r"\.(safetensors|pt|pth|bin|ckpt|pkl|tar|pt2|onnx|h5|npz|zip)", re.IGNORECASE)


def is_hub_id(text: str) -> bool:
    """Return whether a text reads like the id of a repository: ``owner/name`` or ``owner/name@revision``.

    Example:
        >>> from acsnet.checkpoints import is_hub_id
        >>> is_hub_id("somebody/unet"), is_hub_id("somebody/unet@v1.0"), is_hub_id("runs/best.safetensors")
        (True, True, False)
    """
    match = _HUB_ID.fullmatch(text)
    return match is not None and _FILE_SUFFIX.fullmatch(Path(match[1]).suffix) is None


def at_revision(hub_id: Any, revision: str) -> str:
    """Return the id of a repository at a branch, tag or commit.

    Raises:
        InputError: if it is not the id of a repository, has a revision already, or the revision cannot be one.
    """
    if not isinstance(hub_id, str) or not is_hub_id(hub_id) or "@" in hub_id:
        raise InputError(
            f"revision is {revision!r}, but {hub_id} is not the id of a repository on the Hugging Face Hub "
            '("owner/name"): omit it'
        )
    if not is_hub_id(f"{hub_id}@{revision}"):
        raise InputError(f"revision is {revision!r}: expected a branch, a tag or a commit")
    return f"{hub_id}@{revision}"


def weights_in_folder(folder: Path) -> Path:
    """Return the checkpoint in a folder that ``acsnet.save_pretrained`` wrote.

    Raises:
        CheckpointError: if the folder has none; the message names other checkpoints in it.
    """
    path = folder / WEIGHTS_NAME
    if path.exists():
        return path
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    advice = f"; name one of its files, such as {folder / others[0]}" if others else ""
    raise CheckpointError(f"the folder {folder} has no {WEIGHTS_NAME}, which acsnet.save_pretrained writes{advice}")


def download_weights(hub_id: str) -> Path:
    """Download the checkpoint of a repository, unless it is in the cache of the Hub.

    Raises:
        DownloadError: if there is no such repository, revision or file, or the Hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    match = _HUB_ID.fullmatch(hub_id)
    assert match is not None  # is_hub_id
    try:
        return Path(hf_hub_download(match[1], WEIGHTS_NAME, revision=match[2]))
    except (OSError, ValueError) as error:
        raise DownloadError(
            f"{hub_id} is not a local path, and could not be downloaded from the Hugging Face Hub: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "it is not in the cache, and the Hub cannot be reached or HF_HUB_OFFLINE is set"
    if isinstance(error, errors.EntryNotFoundError):
        return f"the repository has no {WEIGHTS_NAME}, so that it is not a network of acsnet"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or you need access to it (hf auth login, or HF_TOKEN)"
    return (str(error) or type(error).__name__).splitlines()[0]
