"""The networks; importing this package registers all of them."""

from acsnet.labels import TASKS
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._hub import push_to_hub, save_pretrained
from acsnet.models._loading import load_model
from acsnet.models._registry import ModelEntry, create_model, list_models, model_entry, register_model
from acsnet.models._transfer import LoadedWeights
from acsnet.models.acsnet import ACSNet
from acsnet.models.efficientnet_cbam import EfficientNetCBAM
from acsnet.models.encoder_decoder import EncoderDecoder
from acsnet.models.ensemble import Ensemble
from acsnet.models.mt_nnunet import MTNNUNet
from acsnet.models.mt_unetpp import MTUNetPlusPlus
from acsnet.models.two_networks import TwoNetworks
from acsnet.models.unet import GatedUNet, UNet
from acsnet.models.unetpp import LesionWeightedUNetPlusPlus, RefinedUNetPlusPlus, UNetPlusPlus
from acsnet.models.wrappers import LabelOnly, MaskOnly

__all__ = [
    "TASKS",
    "ACSNet",
    "Contract",
    "EfficientNetCBAM",
    "EncoderDecoder",
    "Ensemble",
    "GatedUNet",
    "LabelOnly",
    "LesionWeightedUNetPlusPlus",
    "LoadedWeights",
    "MTNNUNet",
    "MTUNetPlusPlus",
    "MaskOnly",
    "ModelEntry",
    "MultiTaskModel",
    "MultiTaskOutput",
    "RefinedUNetPlusPlus",
    "TwoNetworks",
    "UNet",
    "UNetPlusPlus",
    "create_model",
    "list_models",
    "load_model",
    "model_entry",
    "push_to_hub",
    "register_model",
    "save_pretrained",
]
