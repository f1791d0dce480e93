"""Exchange of networks with local folders and the Hugging Face Hub.

A folder or repository has three files: ``model.safetensors``, a checkpoint of this package with its metadata;
``config.json``, the same metadata for people and the Hub; and the model card, ``README.md``. Nothing is pickled or
unpickled. ``acsnet.load_model`` loads networks from both.
"""

import tempfile
from pathlib import Path

from torch import nn

from acsnet._utils.files import write_text
from acsnet.checkpoints import WEIGHTS_NAME, save_checkpoint
from acsnet.models._loading import metadata_of
from acsnet.models._model_card import UNKNOWN_LICENSE, check_license, write_model_card

_CONFIG_NAME = "config.json"
_MODEL_CARD_NAME = "README.md"


def save_pretrained(model: nn.Module, folder: str | Path, *, license: str = UNKNOWN_LICENSE) -> Path:
    """Save a network to a folder in the format of the Hugging Face Hub.

    Weights and metadata are overwritten; an existing ``README.md`` is left unchanged. A new one is the model card:
    license, classes, input, training data, metrics with their protocol, intended use, and an example that runs.
    ``acsnet.load_model(folder)`` loads the network.

    Args:
        model: a network whose attribute ``metadata`` is a :class:`~acsnet.checkpoints.CheckpointMetadata`, as returned
            by ``acsnet.load_model``.
        folder: the folder, created if necessary.
        license: identifier of the license of the weights for the model card, such as ``"cc-by-4.0"``.

    Returns:
        The folder.

    Raises:
        InputError: if the network has no metadata, or the license is not an identifier.
        DiskFullError: if the disk is full.

    Example:
        >>> import tempfile
        >>> import acsnet
        >>> from acsnet.checkpoints import CheckpointMetadata
        >>> model = acsnet.create_model("unet", width=4, depth=2)
        >>> model.metadata = CheckpointMetadata(
        ...     model="unet", arguments={"width": 4, "depth": 2}, class_names=("benign", "malignant", "normal"),
        ...     input_size=(32, 32), mean=(0.33,), std=(0.2,),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     names = sorted(path.name for path in acsnet.save_pretrained(model, folder).iterdir())
        ...     again = acsnet.load_model(folder)
        >>> names
        ['README.md', 'config.json', 'model.safetensors']
        >>> again.metadata == model.metadata
        True
    """
    folder = Path(folder)
    # A relative path could otherwise be a released name or the id of a repository.
    location = folder.as_posix() if folder.is_absolute() else f"./{folder.as_posix()}"
    return _save(model, folder, location, license)


def _save(model: nn.Module, folder: Path, location: str, license: str) -> Path:
    """Save a network to a folder; the example of its model card loads it from ``location``."""
    metadata = metadata_of(model)
    model_card = write_model_card(metadata, location, license)
    save_checkpoint(folder / WEIGHTS_NAME, model.state_dict(), metadata)
    write_text(folder / _CONFIG_NAME, metadata.model_dump_json(indent=2) + "\n")
    if not (folder / _MODEL_CARD_NAME).exists():
        write_text(folder / _MODEL_CARD_NAME, model_card)
    return folder


def push_to_hub(
    model: nn.Module,
    repository: str,
    *,
    license: str = UNKNOWN_LICENSE,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Upload the network with acsnet",
) -> str:
    """Upload a network to a repository of the Hugging Face Hub, which is created if necessary.

    Args:
        model: a network with metadata; see :func:`save_pretrained`.
        repository: ``owner/name``, or ``name`` for a repository of your own.
        license: identifier of the license of the weights for the model card, such as ``"cc-by-4.0"``.
        private: whether a new repository is private; by default as the owner's settings say.
        token: an access token, by default the stored one.
        revision: branch to upload to, by default the main one.
        create_pr: open a pull request instead of committing to the branch.
        commit_message: message of the commit.

    Returns:
        URL of the commit.

    Raises:
        InputError: if the network has no metadata, or the license is not an identifier.
        OSError: if the Hub refuses the upload or cannot be reached (``huggingface_hub.errors.HfHubHTTPError``).
    """
    metadata_of(model)  # before a repository is created
    check_license(license)
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repository = api.create_repo(repo_id=repository, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        _save(model, Path(folder), repository if revision is None else f"{repository}@{revision}", license)
        return api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )
