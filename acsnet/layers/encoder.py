"""Feature pyramids from timm."""

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import nn

from acsnet._utils.naming import look_up
from acsnet.errors import DownloadError, InputError

# What timm raises when weights cannot be fetched: huggingface_hub's and httpx's errors are OSErrors or RuntimeErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError)
# What timm's networks raise for an output stride they do not have; the first is a RuntimeError, yet no failed download.
_UNSUPPORTED_ERRORS = (NotImplementedError, AssertionError, TypeError)
_STRIDES = (2, 4, 8, 16, 32)
_OUTPUT_STRIDES = (8, 16, 32)


class Encoder(nn.Module):
    """A timm network that gives its feature maps at strides 2, 4, 8, 16 and 32.

    Args:
        name: any timm network that has these five feature levels.
        in_channels: channels of the input; pre-trained first-layer weights are adapted by timm.
        weights: ``"imagenet"`` for timm's default pre-trained weights, None for random ones.
        output_stride: 32, or with 16 or 8 the stride at which the maps stop to shrink: the levels after it keep the
            size and dilate their convolutions instead. The weights are the same.

    Attributes:
        channels: of the five maps, finest first.
        strides: of the five maps, finest first.

    Raises:
        UnknownNameError: for a network that timm does not have, or other weights.
        InputError: for a network with other feature levels (the received and the needed strides are named), or
            without pre-trained weights where they are asked for, or one that cannot have the output stride.
        DownloadError: where the weights cannot be downloaded.
    """

    def __init__(self, name: str, in_channels: int = 3, weights: str | None = None, output_stride: int = 32) -> None:
        super().__init__()
        if output_stride not in _OUTPUT_STRIDES:
            raise InputError(f"output_stride is {output_stride!r}: it has to be one of {_OUTPUT_STRIDES}")
        architecture = str(name).partition(".")[0]
        look_up("encoder", architecture, dict.fromkeys(timm.list_models()), "timm.list_models() lists all")
        if weights is not None:
            look_up("encoder weights", weights, {"imagenet": None}, "")
            _check_pretrained(name)
        self.strides = tuple(min(stride, output_stride) for stride in _STRIDES)
        self.network = _create_features(name, in_channels, weights, output_stride)
        info: Any = self.network.feature_info
        strides = tuple(info.reduction())
        if strides != self.strides:
            raise InputError(
                f"encoder {name!r} has feature maps at strides {strides}, needed are five at {self.strides}: "
                "take a convolutional encoder such as resnet18 or efficientnet_b0"
            )
        self.channels: Sequence[int] = tuple(info.channels())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> five maps (B, C_i, H / stride_i, W / stride_i), finest first."""
        return self.network(images)


def _check_pretrained(name: str) -> None:
    if not timm.is_model_pretrained(name):
        raise InputError(
            f"timm has no pre-trained weights for encoder {name!r}: timm.list_pretrained() lists those that have some, "
            "or go without by encoder_weights=None"
        )


def _create_features(name: str, in_channels: int, weights: str | None, output_stride: int) -> nn.Module:
    options: dict[str, Any] = {}
    if output_stride != _STRIDES[-1]:
        # Only then: networks that cannot dilate do not take the argument at all.
        options["output_stride"] = output_stride
    if weights is not None:
        # Naming the safetensors file keeps timm from falling back to a pickled one.
        options["pretrained_cfg_overlay"] = {"hf_hub_filename": "model.safetensors"}
    try:
        return timm.create_model(
            name, features_only=True, in_chans=in_channels, pretrained=weights is not None, **options
        )
    except _UNSUPPORTED_ERRORS as error:
        raise _unusable(name, output_stride, error) from error
    except _DOWNLOAD_ERRORS as error:
        if weights is None:
            raise _unusable(name, output_stride, error) from error
        raise DownloadError(
            f"the ImageNet weights of {name} could not be downloaded ({_first_line(error)}): connect to the internet "
            "once, or go without by encoder_weights=None (in a configuration: --set model.encoder_weights=null)"
        ) from error


def _unusable(name: str, output_stride: int, error: Exception) -> InputError:
    dilated = "" if output_stride == _STRIDES[-1] else f" with output stride {output_stride}"
    return InputError(f"encoder {name!r} cannot be used for feature maps{dilated}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
