"""The model zoo for breast-ultrasound segmentation and classification.

``create_model`` builds a network, ``list_models`` lists them, ``load_model`` rebuilds one from its checkpoint alone,
``list_checkpoints`` lists the released ones, ``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` exchange
networks with folders and the Hugging Face Hub, ``Predictor`` runs a network on images. Operators, layers, losses and
metrics are in the packages of these names.
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
    # Prediction imports image reading and metrics, which are not needed to build a network.
    if name == "Predictor":
        from acsnet.inference import Predictor

        return Predictor
    raise AttributeError(f"module 'acsnet' has no attribute {name!r}")
