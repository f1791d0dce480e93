"""The model zoo for breast-ultrasound segmentation and classification.

``create_model`` builds a network by its name; ``list_models`` lists the names. ``load_model`` rebuilds a network from a
checkpoint, and ``list_checkpoints`` lists the released checkpoints. ``from_pretrained``, ``save_pretrained`` and
``push_to_hub`` exchange networks with folders and the Hugging Face Hub. ``Predictor`` applies a network to images. The
packages ``ops``, ``layers``, ``losses`` and ``metrics`` can be used on their own.

Example:
    >>> import torch
    >>> import acsnet
    >>> model = acsnet.create_model("unet", width=8).eval()
    >>> output = model(torch.zeros(1, 3, 64, 64))
    >>> output.mask.shape, output.label.shape
    (torch.Size([1, 1, 64, 64]), torch.Size([1, 3]))
"""

from typing import TYPE_CHECKING, Any

from acsnet import layers, losses, metrics, models, ops
from acsnet.checkpoints import list_checkpoints
from acsnet.errors import AcsnetError
from acsnet.models import (
    MultiTaskModel,
    MultiTaskOutput,
    create_model,
    from_pretrained,
    list_models,
    load_model,
    push_to_hub,
    register_model,
    save_pretrained,
)
from acsnet.version import __version__

if TYPE_CHECKING:
    from acsnet.inference import Predictor

__all__ = [
    "AcsnetError",
    "MultiTaskModel",
    "MultiTaskOutput",
    "Predictor",
    "__version__",
    "create_model",
    "from_pretrained",
    "layers",
    "list_checkpoints",
    "list_models",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "push_to_hub",
    "register_model",
    "save_pretrained",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: it imports the packages that read and process images, which networks do not need.
    if name == "Predictor":
        from acsnet.inference import Predictor

        return Predictor
    raise AttributeError(f"module 'acsnet' has no attribute {name!r}")
