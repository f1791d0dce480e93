"""The networks; importing this package registers every one of them."""

from acsnet.models.acsnet import ACSNet
from acsnet.models.base import MultiTaskModel, MultiTaskOutput

__all__ = ["ACSNet", "MultiTaskModel", "MultiTaskOutput"]
