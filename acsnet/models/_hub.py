"""Exchange of networks with local folders and the Hugging Face Hub.

A folder or repository has three files: ``model.safetensors``, a checkpoint of this package with its metadata;
``config.json``, the same metadata for people and the Hub; and the model card, ``README.md``. Nothing is pickled or
unpickled.
"""

import tempfile
from pathlib import Path

from torch import nn

from acsnet._utils.files import write_text
from acsnet.checkpoints import CheckpointMetadata, OperatingPoints, save_checkpoint
from acsnet.errors import DownloadError
from acsnet.models._loading import load_model, metadata_of

_WEIGHTS_NAME = "model.safetensors"
_CONFIG_NAME = "config.json"
_MODEL_CARD_NAME = "README.md"
_MODEL_CARD = """---
library_name: acsnet
tags:
- acsnet
- breast-ultrasound
- image-segmentation
- image-classification
---

# {title} for breast-ultrasound images

For research, not for diagnosis.

```python
import acsnet

predictor = acsnet.Predictor(acsnet.from_pretrained("this repository"))
prediction = predictor("image.png")
```

| | |
| --- | --- |
| network | {title} |
| classes | {classes} |
| input | {height} x {width} (height x width), (pixel / 255 - {mean}) / {std}{framing} |
| trained on | {data} |
| epoch selected on | {selection} |
| operating points | {operating_points} |
| written by | acsnet {version} |
"""


def save_pretrained(model: nn.Module, folder: str | Path) -> Path:
    """Save a network to a folder in the format of the Hugging Face Hub.

    Weights and metadata are overwritten; an existing ``README.md`` is left unchanged.

    Args:
        model: a network whose attribute ``metadata`` is a :class:`~acsnet.checkpoints.CheckpointMetadata`, as returned
            by ``acsnet.load_model``.
        folder: the folder, created if necessary.

    Returns:
        The folder.

    Raises:
        InputError: if the network has no metadata.
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
        ...     again = acsnet.from_pretrained(folder)
        >>> names
        ['README.md', 'config.json', 'model.safetensors']
        >>> again.metadata == model.metadata
        True
    """
    metadata = metadata_of(model)
    folder = Path(folder)
    save_checkpoint(folder / _WEIGHTS_NAME, model.state_dict(), metadata)
    write_text(folder / _CONFIG_NAME, metadata.model_dump_json(indent=2) + "\n")
    if not (folder / _MODEL_CARD_NAME).exists():
        write_text(folder / _MODEL_CARD_NAME, _write_model_card(metadata))
    return folder


def push_to_hub(
    model: nn.Module,
    repository: str,
    *,
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
        private: whether a new repository is private; by default as the owner's settings say.
        token: an access token, by default the stored one.
        revision: branch to upload to, by default the main one.
        create_pr: open a pull request instead of committing to the branch.
        commit_message: message of the commit.

    Returns:
        URL of the commit.

    Raises:
        InputError: if the network has no metadata.
        OSError: if the Hub refuses the upload or cannot be reached (``huggingface_hub.errors.HfHubHTTPError``).
    """
    metadata_of(model)  # before a repository is created
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repository = api.create_repo(repo_id=repository, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        return api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )


def from_pretrained(
    folder_or_repository: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> nn.Module:
    """Load a network from a folder, or from a repository of the Hugging Face Hub.

    Args:
        folder_or_repository: a folder written by :func:`save_pretrained`, or ``owner/name`` on the Hub.
        revision: branch, tag or commit of the repository, by default the main branch.
        token: an access token, by default the stored one.
        cache_dir: folder for downloads, by default the Hub's cache.
        force_download: download again even if the file is in the cache.
        local_files_only: use the cache only.

    Returns:
        The network in evaluation mode. Its attribute ``metadata`` is the checkpoint's metadata, so that
        ``acsnet.Predictor(model)`` needs no other argument.

    Raises:
        CheckpointError: if the weights are damaged, have no metadata or do not match the network that it describes.
        DownloadError: if there is neither such a folder nor a readable repository.

    Example:
        >>> import acsnet
        >>> model = acsnet.from_pretrained("somebody/unet")  # doctest: +SKIP
    """
    folder = Path(folder_or_repository)
    if folder.is_dir():
        return load_model(folder / _WEIGHTS_NAME)
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            str(folder_or_repository),
            _WEIGHTS_NAME,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{folder_or_repository} is not a local folder and could not be downloaded from the Hugging Face Hub "
            f"({reason})"
        ) from error
    return load_model(path)


def _write_model_card(metadata: CheckpointMetadata) -> str:
    dataset = metadata.dataset
    return _MODEL_CARD.format(
        title=metadata.model if metadata.members == 1 else f"ensemble of {metadata.members} {metadata.model}",
        classes=", ".join(metadata.class_names),
        height=metadata.input_size[0],
        width=metadata.input_size[1],
        mean=", ".join(map(str, metadata.mean)),
        std=", ".join(map(str, metadata.std)),
        framing=(", cropped to the scanned region" if metadata.crop_margins else "")
        + (", padded instead of stretched" if metadata.keep_aspect else ""),
        data=f"{', '.join(dataset['names'])} ({dataset.get('n', '?')} images)" if "names" in dataset else "-",
        selection="the test images, so that test metrics are too good"
        if metadata.selected_on == "test"
        else "validation images",
        operating_points=_describe_operating_points(metadata.operating_points),
        version=metadata.code_version,
    )


def _describe_operating_points(points: OperatingPoints | None) -> str:
    if points is None:
        return "-"
    rates = [
        f"`{name}` (sensitivity {point.sensitivity.value:.3f}, specificity {point.specificity.value:.3f})"
        for name, point in points.points.items()
    ]
    return f"{', '.join(rates)}, chosen on {points.images} images ({points.source})"
