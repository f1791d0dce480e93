"""Networks of timm as encoders: their names, their image sizes, their feature levels and their layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models import group_parameters
from torch import nn
from torch.nn import functional

from acsnet._utils.naming import look_up
from acsnet.errors import DownloadError, InputError
from acsnet.layers.encoder_weights import (
    PretrainedWeights,
    check_weights_name,
    hub_weights,
    load_encoder_weights,
    names_in_whole,
)

#: Strides of the feature levels of an encoder.
STRIDES = (2, 4, 8, 16, 32)
# Raised by timm if weights cannot be downloaded: huggingface_hub's and httpx's errors are OSErrors or RuntimeErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError)
# Raised by timm's networks for an unsupported output stride. NotImplementedError is a RuntimeError, so catch it first.
_UNSUPPORTED_ERRORS = (NotImplementedError, AssertionError, TypeError)
# segmentation_models_pytorch marks encoders of timm by this prefix.
_LIBRARY_PREFIX = "tu-"
_WITHOUT_DILATION = ": use one that can be dilated, such as resnet18 or convnext_tiny, or a decoder without dilation"
# The argument by which timm's Swin networks take any size.
_ANY_SIZE = {"strict_img_size": False}


def _conv2d_same(
    images: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> torch.Tensor:
    """Convolve with the padding of TensorFlow, by which an output has ceil(size / stride) pixels."""
    paddings = []
    for axis in (1, 0):  # padding starts at the last dimension
        size, kernel, step = images.shape[2 + axis], weight.shape[2 + axis], stride[axis]
        # The size decides by its remainder alone. Where networks take multiples of their stride only, an exporter sees
        # a constant; timm's formula with the size in it becomes nested maxima, which take an exporter many minutes.
        total = max(dilation[axis] * (kernel - 1) + 1 - (size % step or step), 0)
        paddings += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(images, paddings), weight, bias, stride, 0, dilation, groups)


# Its padding is a condition on the size of the images: torch.fx records the call instead of following it.
torch.fx.wrap("_conv2d_same")


class _Conv2dSame(Conv2dSame):
    """timm's convolution with the padding of TensorFlow, which torch.fx can trace and torch.export can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) -> (B, C_out, H / stride, W / stride), rounded up."""
        return _conv2d_same(x, self.weight, self.bias, self.stride, self.dilation, self.groups)


def timm_name(name: str) -> str:
    """Return the name in timm of an encoder, which may have the prefix of segmentation_models_pytorch.

    Example:
        >>> timm_name("tu-convnext_tiny"), timm_name("resnet50.tv_in1k")
        ('convnext_tiny', 'resnet50.tv_in1k')
    """
    return str(name).removeprefix(_LIBRARY_PREFIX)


def architecture(name: str) -> str:
    """Return the name of an encoder without prefix and without the tag of its weights."""
    return timm_name(name).partition(".")[0]


def check_names(name: str, weights: str | Path | None) -> None:
    """Check the name of an encoder and of its weights.

    Raises:
        UnknownNameError: for an unknown name, with near matches.
        InputError: if timm has no pretrained weights of the encoder.
    """
    look_up("encoder", architecture(name), dict.fromkeys(timm.list_models()), "timm.list_models() lists all")
    if weights is not None and check_weights_name(weights) is None and not timm.is_model_pretrained(timm_name(name)):
        raise InputError(
            f"timm has no pre-trained weights for encoder {name!r}: choose one from timm.list_pretrained(), use a file "
            "of weights: encoder_weights=PATH, or use random weights: encoder_weights=None"
        )


def size_options(name: str, image_size: Sequence[int] | None) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model`` that make a network take the images.

    Most networks take any size. Swin networks do with an argument. Others, such as MaxViT, CoAtNet and Hiera, are built
    for one size.

    Args:
        name: name of the encoder.
        image_size: (height, width) for which it is built; None if it takes any size.

    Raises:
        InputError: if the network is built for one size and none is given, or takes any size and one is given, or
            cannot be built for this size.
    """
    published = _only_size(name)
    if published is None or _takes(name, _ANY_SIZE):
        if image_size is not None:
            raise InputError(f"image_size is {list(image_size)}: encoder {name!r} takes images of any size; omit it")
        return {} if published is None else dict(_ANY_SIZE)
    shown = f"image_size={list(published)}"
    if image_size is None:
        # A network without a pyramid of maps is of no use at any size.
        with torch.device("meta"):
            first_level(name, timm.create_model(architecture(name), features_only=True), STRIDES)
        raise InputError(
            f"encoder {name!r} is built for one size of images: add {shown}, the size of its pretrained weights, or "
            f"another [height, width] (in a configuration: model.arguments.image_size, equal to data.image_size)"
        )
    size = _check_size(name, image_size)
    if _takes(name, {"img_size": size}, size):
        return {"img_size": size}
    if size == published:
        return {}
    raise InputError(f"encoder {name!r} cannot be built for {size[0]}x{size[1]} (height x width): use {shown}")


def create(
    name: str, in_channels: int, weights: str | Path | None, use: str, options: Mapping[str, Any]
) -> tuple[nn.Module, PretrainedWeights | None]:
    """Build a network of timm, and load its weights.

    Args:
        name: name of the encoder, checked by :func:`check_names`.
        in_channels: channels of the input.
        weights: ``"imagenet"``, the path of a file, or None for random weights.
        use: what it is built for, for messages.
        options: further arguments of ``timm.create_model``.

    Returns:
        The network and the origin of its weights.

    Raises:
        InputError: if timm cannot build the network with these options.
        CheckpointError: if the file of weights is missing, damaged or of another network.
        DownloadError: if the weights cannot be downloaded.
    """
    path = None if weights is None else check_weights_name(weights)
    is_download = weights is not None and path is None
    if is_download:
        # Naming the safetensors file keeps timm from falling back to a pickled one.
        options = {**options, "pretrained_cfg_overlay": {"hf_hub_filename": "model.safetensors"}}
    try:
        network = timm.create_model(timm_name(name), in_chans=in_channels, pretrained=is_download, **options)
    except _UNSUPPORTED_ERRORS as error:
        raise _unusable(name, use, error, options) from error
    except _DOWNLOAD_ERRORS as error:
        if not is_download:
            raise _unusable(name, use, error, options) from error
        raise DownloadError(
            f"the ImageNet weights of {name} could not be downloaded ({_first_line(error)}): connect to the internet "
            "once, use a file of weights: encoder_weights=PATH, or use random weights: encoder_weights=None (in a "
            "configuration: --set model.encoder_weights=null)"
        ) from error
    for module in network.modules():
        if type(module) is Conv2dSame:
            module.__class__ = _Conv2dSame
    if path is not None:
        built_for = {key: value for key, value in options.items() if key == "img_size"}
        return network, load_encoder_weights(network, timm_name(name), in_channels, path, built_for)
    return network, hub_weights(network, timm_name(name)) if is_download else None


def levels(network: Any) -> list[dict[str, Any]]:
    """Return timm's description of the feature levels, a list for whole networks and an object for pyramids."""
    info = network.feature_info
    return info if isinstance(info, list) else info.get_dicts()


def first_level(name: str, network: nn.Module, expected: tuple[int, ...]) -> int:
    """Return the index in the feature levels of a network that has the first of the expected strides.

    Returns:
        0 if the levels are the expected ones; 1 if there is one of stride 1 before them, as in VGG networks; -1 if the
        first one, of stride 2, is missing, as in ConvNeXt and in most transformers.

    Raises:
        InputError: for any other levels.
    """
    strides = tuple(level["reduction"] for level in levels(network))
    for first, known in ((0, expected), (1, (1, *expected)), (-1, expected[1:])):
        if strides == known:
            return first
    raise InputError(
        f"encoder {name!r} has feature maps at strides {strides}, expected five at {expected}, or four without that at "
        "2: use an encoder such as resnet18, efficientnet_b0, convnext_tiny or swin_tiny_patch4_window7_224"
    )


def layer_numbers(network: Any, name: str) -> dict[str, int]:
    """Return the number of the layer of each parameter of a network of timm, 0 for the first, as timm groups them.

    Args:
        network: the network or its feature pyramid.
        name: name of the encoder.
    """
    with torch.device("meta"):
        whole = timm.create_model(timm_name(name))
    numbers = group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
    own = names_in_whole(network.state_dict(), whole.state_dict(), name)
    return {own[key]: number for key, number in numbers.items() if key in own}


def _only_size(name: str) -> tuple[int, int] | None:
    """Return the (height, width) of the weights of a network that is built for one size, or None for any other."""
    try:
        settings = timm.get_pretrained_cfg(timm_name(name))
    except RuntimeError:  # an unknown tag, which create explains
        return None
    if settings is None or not settings.fixed_input_size:
        return None
    _, height, width = settings.input_size
    return height, width


def _takes(name: str, options: Mapping[str, Any], size: tuple[int, int] | None = None) -> bool:
    """Return whether timm can build a network with these arguments, and the network takes images of the size."""
    try:
        with torch.device("meta"):
            network = timm.create_model(architecture(name), features_only=True, **options)
            if size is not None:
                network(torch.empty(1, 3, *size))
    # Each network has its own way to fail for a size: errors of types, shapes and assertions.
    except (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError, IndexError):
        return False
    return True


def _check_size(name: str, image_size: object) -> tuple[int, int]:
    largest = STRIDES[-1]
    sides = tuple(image_size) if isinstance(image_size, Sequence) else ()
    if len(sides) != 2 or not all(type(side) is int and side > 0 and side % largest == 0 for side in sides):
        raise InputError(
            f"image_size is {image_size!r}: encoder {name!r} needs [height, width], both positive multiples of "
            f"{largest}"
        )
    return sides[0], sides[1]


def _unusable(name: str, use: str, error: Exception, options: Mapping[str, Any]) -> InputError:
    remedy = _WITHOUT_DILATION if "output_stride" in options else ""
    return InputError(f"encoder {name!r} cannot be used for {use}: {_first_line(error)}{remedy}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
