"""The model zoo for breast-ultrasound segmentation and classification.

``create_model`` builds a network by its name; ``list_models`` lists the names. ``load_model`` loads a trained network:
a released one (``list_checkpoints``), a file, a folder or a repository of the Hugging Face Hub, which
``save_pretrained`` and ``push_to_hub`` write. ``Predictor`` applies a network to images. ``MaskOnly`` and ``LabelOnly``
make a network return one tensor, for tools that expect it. ``register_model``, ``register_loss``,
``register_optimizer``, ``register_dataset``, ``register_backend`` and ``register_tracker`` add your own. The packages
``ops``, ``layers``, ``losses`` and ``metrics`` can be used on their own.

Example:
    >>> import torch
    >>> import acsnet
    >>> model = acsnet.create_model("unet", width=8).eval()
    >>> output = model(torch.zeros(1, 3, 64, 64))
    >>> output.mask.shape, output.label.shape
    (torch.Size([1, 1, 64, 64]), torch.Size([1, 3]))
"""

import importlib
from typing import TYPE_CHECKING, Any

from acsnet.errors import AcsnetError
from acsnet.version import __version__

if TYPE_CHECKING:
    from acsnet import layers, losses, metrics, models, ops
    from acsnet.checkpoints import list_checkpoints
    from acsnet.data import register_dataset
    from acsnet.inference import Predictor
    from acsnet.losses import register_loss
    from acsnet.models import (
        LabelOnly,
        MaskOnly,
        MultiTaskModel,
        MultiTaskOutput,
        create_model,
        list_models,
        load_model,
        push_to_hub,
        register_model,
        save_pretrained,
    )
    from acsnet.ops import register_backend
    from acsnet.training import register_optimizer, register_tracker

__all__ = [
    "AcsnetError",
    "LabelOnly",
    "MaskOnly",
    "MultiTaskModel",
    "MultiTaskOutput",
    "Predictor",
    "__version__",
    "create_model",
    "layers",
    "list_checkpoints",
    "list_models",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "push_to_hub",
    "register_backend",
    "register_dataset",
    "register_loss",
    "register_model",
    "register_optimizer",
    "register_tracker",
    "save_pretrained",
]

_HOMES = {
    "Predictor": "acsnet.inference",
    "list_checkpoints": "acsnet.checkpoints",
    "register_backend": "acsnet.ops",
    "register_dataset": "acsnet.data",
    "register_loss": "acsnet.losses",
    "register_optimizer": "acsnet.training",
    "register_tracker": "acsnet.training",
}
_PACKAGES = frozenset({"layers", "losses", "metrics", "models", "ops"})


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, in which a command-line tool could not answer its user.
    if name in _PACKAGES:
        return importlib.import_module(f"acsnet.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'acsnet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "acsnet.models")), name)


def __dir__() -> list[str]:
    return __all__
