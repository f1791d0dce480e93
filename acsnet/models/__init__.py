"""The networks; importing this package registers every one of them."""

from acsnet.models.acsnet import ACSNet
from acsnet.models.base import MultiTaskModel, MultiTaskOutput
from acsnet.models.ensemble import Ensemble
from acsnet.models.hub import HubModel, from_pretrained
from acsnet.models.loading import load_model
from acsnet.models.nnunet import NNUNet
from acsnet.models.pairs import EncoderDecoder
from acsnet.models.unet import GatedUNet, UNet
from acsnet.models.unetpp import RefinedUNetPlusPlus, UNetPlusPlus

__all__ = [
    "ACSNet",
    "EncoderDecoder",
    "Ensemble",
    "GatedUNet",
    "HubModel",
    "MultiTaskModel",
    "MultiTaskOutput",
    "NNUNet",
    "RefinedUNetPlusPlus",
    "UNet",
    "UNetPlusPlus",
    "from_pretrained",
    "load_model",
]
