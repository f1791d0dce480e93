"""Networks in the format of the Hugging Face Hub: ``save_pretrained``, ``from_pretrained``, ``push_to_hub``.

A folder or repository holds ``model.safetensors``, which is a checkpoint of this package with its card, ``config.json``
with the card again for people and the Hub, and ``README.md``. Nothing is ever pickled or unpickled.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from torch import nn

from acsnet._utils.files import write_text
from acsnet.checkpoints.metadata import CheckpointMetadata, save_checkpoint
from acsnet.errors import AcsnetError, CheckpointError, DownloadError, InputError

_README = """---
library_name: acsnet
tags:
- acsnet
- breast-ultrasound
- image-segmentation
- image-classification
- model_hub_mixin
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
| input | {height} x {width} (height x width), (pixel / 255 - {mean}) / {std} |
| trained on | {data} |
| written by | acsnet {version} |
"""


class HubModel(ModelHubMixin):
    """Adds ``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` to a network that has a card.

    The metadata is the attribute ``metadata``, a :class:`~acsnet.checkpoints.CheckpointMetadata`, set by
    ``acsnet.load_model``; ``from_pretrained`` gives it back, so that ``acsnet.Predictor`` needs nothing else. Arguments
    are those of ``huggingface_hub.ModelHubMixin``.
    """

    def _save_pretrained(self, save_directory: Path) -> None:
        metadata = _metadata_of(self)
        assert isinstance(self, nn.Module)  # mixed into networks only
        save_checkpoint(save_directory / SAFETENSORS_SINGLE_FILE, self.state_dict(), metadata)
        write_text(save_directory / "config.json", metadata.model_dump_json(indent=2) + "\n")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> Any:
        # Imported here: it builds networks, which are made of this class.
        from acsnet.models._loading import load_model

        # What config.json holds is handed on to networks that take any argument; the card in the weights says the same.
        given = [key for key in model_kwargs if key not in CheckpointMetadata.model_fields]
        if given:
            raise InputError(f"from_pretrained takes no {', '.join(given)}: the network is built as its card says")
        if Path(model_id).is_dir():
            path = Path(model_id) / SAFETENSORS_SINGLE_FILE
        else:
            options: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir, "token": token}
            options |= {"force_download": force_download, "local_files_only": local_files_only}
            path = Path(hf_hub_download(model_id, SAFETENSORS_SINGLE_FILE, **options))
        model = load_model(path)
        if cls is not HubModel and not isinstance(model, cls):
            raise CheckpointError(
                f"{model_id} holds a network {type(model).__name__}, no {cls.__name__}: use acsnet.from_pretrained"
            )
        return model

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """The README of a folder or repository, from the card; the mixin's arguments have no place in it."""
        metadata = _metadata_of(self)
        data = (
            f"{', '.join(metadata.dataset['names'])} ({metadata.dataset['n']} images)"
            if "names" in metadata.dataset
            else "-"
        )
        text = _README.format(
            title=metadata.model if metadata.members == 1 else f"ensemble of {metadata.members} {metadata.model}",
            classes=", ".join(metadata.class_names),
            height=metadata.input_size[0],
            width=metadata.input_size[1],
            mean=", ".join(map(str, metadata.mean)),
            std=", ".join(map(str, metadata.std)),
            data=data,
            version=metadata.code_version,
        )
        return ModelCard(text)


def from_pretrained(folder_or_repository: str | Path, **options: Any) -> nn.Module:
    """Load any network of this package from a folder, or from a repository of the Hugging Face Hub.

    Args:
        folder_or_repository: what ``save_pretrained`` wrote, or ``owner/name`` on the Hub.
        options: ``revision``, ``token``, ``cache_dir``, ``force_download``, ``local_files_only``.

    Returns:
        The network in evaluation mode, with its card.

    Raises:
        CheckpointError: for weights without a card, or that are damaged or of another network.
        DownloadError: where there is neither such a folder nor such a repository that can be read.
    """
    try:
        return HubModel.from_pretrained(folder_or_repository, **options)  # type: ignore[return-value]
    except AcsnetError:
        raise
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DownloadError(
            f"{folder_or_repository} is no folder, and could not be had from the Hugging Face Hub ({reason})"
        ) from error


def _metadata_of(model: Any) -> CheckpointMetadata:
    metadata = getattr(model, "card", None)
    if not isinstance(metadata, CheckpointMetadata):
        raise InputError(
            f"this {type(model).__name__} has no card, which says its classes and normalization: load it by "
            "acsnet.load_model, or set its attribute card to an acsnet.checkpoints.CheckpointMetadata"
        )
    return metadata
