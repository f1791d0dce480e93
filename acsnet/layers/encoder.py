"""Feature pyramids from timm."""

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import nn

from acsnet._utils.naming import look_up
from acsnet.errors import DownloadError, InputError

# Raised by timm if weights cannot be downloaded: huggingface_hub's and httpx's errors are OSErrors or RuntimeErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError)
# Raised by timm's networks for an unsupported output stride. NotImplementedError is a RuntimeError, so catch it first.
_UNSUPPORTED_ERRORS = (NotImplementedError, AssertionError, TypeError)
_STRIDES = (2, 4, 8, 16, 32)
_OUTPUT_STRIDES = (8, 16, 32)


class Encoder(nn.Module):
    """A timm network that returns its feature maps at strides 2, 4, 8, 16 and 32.

    Args:
        name: name of a timm network that has these five feature levels.
        in_channels: channels of the input; timm adapts the pre-trained weights of the first layer.
        weights: ``"imagenet"`` for timm's default pre-trained weights, None for random weights.
        output_stride: 8, 16 or 32, the largest stride. Levels that would exceed it preserve the size and dilate
            their convolutions instead. The weights are the same for each value.

    Attributes:
        channels: channels of the five maps, finest first.
        strides: strides of the five maps, finest first.

    Raises:
        UnknownNameError: if timm does not have the network, or ``weights`` is any other name.
        InputError: if the network has other feature levels (the message names the strides), does not have the
            requested pre-trained weights, or does not support the output stride.
        DownloadError: if the weights cannot be downloaded.

    Example:
        >>> encoder = Encoder("resnet18", in_channels=1)
        >>> encoder.channels
        (64, 64, 128, 256, 512)
        >>> [tuple(x.shape[2:]) for x in encoder(torch.rand(2, 1, 64, 64))]
        [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
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
                f"encoder {name!r} has feature maps at strides {strides}, expected five at {self.strides}: "
                "use a convolutional encoder such as resnet18 or efficientnet_b0"
            )
        self.channels: Sequence[int] = tuple(info.channels())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Encode (B, in_channels, H, W) into five maps (B, C_i, H / stride_i, W / stride_i), finest first."""
        return self.network(images)


def _check_pretrained(name: str) -> None:
    if not timm.is_model_pretrained(name):
        raise InputError(
            f"timm has no pre-trained weights for encoder {name!r}: choose one from timm.list_pretrained(), "
            "or use random weights: encoder_weights=None"
        )


def _create_features(name: str, in_channels: int, weights: str | None, output_stride: int) -> nn.Module:
    options: dict[str, Any] = {}
    if output_stride != _STRIDES[-1]:
        # Not passed by default: networks that cannot dilate do not accept the argument.
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
            "once, or use random weights: encoder_weights=None (in a configuration: --set model.encoder_weights=null)"
        ) from error


def _unusable(name: str, output_stride: int, error: Exception) -> InputError:
    dilated = "" if output_stride == _STRIDES[-1] else f" with output stride {output_stride}"
    return InputError(f"encoder {name!r} cannot be used for feature maps{dilated}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
