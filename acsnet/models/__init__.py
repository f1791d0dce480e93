"""The networks; importing this package registers every one of them."""

from acsnet.models.acsnet import ACSNet
from acsnet.models.base import MultiTaskModel, MultiTaskOutput
from acsnet.models.nnunet import NNUNet
from acsnet.models.pairs import EncoderDecoder
from acsnet.models.unet import GatedUNet, UNet
from acsnet.models.unetpp import RefinedUNetPlusPlus, UNetPlusPlus

__all__ = [
    "ACSNet",
    "EncoderDecoder",
    "GatedUNet",
    "MultiTaskModel",
    "MultiTaskOutput",
    "NNUNet",
    "RefinedUNetPlusPlus",
    "UNet",
    "UNetPlusPlus",
]
