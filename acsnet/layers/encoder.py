"""Feature pyramids and pooled features from timm."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import SelectAdaptivePool2d
from torch import nn

from acsnet._utils.naming import look_up
from acsnet.errors import DownloadError, InputError
from acsnet.layers.encoder_weights import PretrainedWeights, check_weights_name, hub_weights, load_encoder_weights
from acsnet.layers.heads import GlobalAverage

# Raised by timm if weights cannot be downloaded: huggingface_hub's and httpx's errors are OSErrors or RuntimeErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError)
# Raised by timm's networks for an unsupported output stride. NotImplementedError is a RuntimeError, so catch it first.
_UNSUPPORTED_ERRORS = (NotImplementedError, AssertionError, TypeError)
_STRIDES = (2, 4, 8, 16, 32)
_OUTPUT_STRIDES = (8, 16, 32)
_EFFICIENTNET = re.compile(r"(tf_)?efficientnet_(b\d|lite\d|l2)")
STAGES, STEM, EXPANDED = "stages", "stem", "expanded"
_MAPS = (STAGES, STEM, EXPANDED)


def is_efficientnet(name: str) -> bool:
    """Return whether a name of timm, with or without a tag, is that of an EfficientNet (Tan, Le 2019, ICML).

    Example:
        >>> is_efficientnet("efficientnet_b4.ra2_in1k"), is_efficientnet("efficientnetv2_s")
        (True, False)
    """
    return _EFFICIENTNET.fullmatch(_architecture(name)) is not None


class Encoder(nn.Module):
    """A timm network that returns its feature maps at strides 2, 4, 8, 16 and 32.

    Args:
        name: name of a timm network that has these five feature levels.
        in_channels: channels of the input; timm adapts the pre-trained weights of the first layer.
        weights: ``"imagenet"`` for timm's default pre-trained weights, the path of a file of weights, or None for
            random weights. A file has the names of timm or torchvision, or is an EfficientNet-Lite file; nothing is
            unpickled.
        output_stride: 8, 16 or 32, the largest stride. Levels that would exceed it preserve the size and dilate
            their convolutions instead. The weights are the same for each value.
        maps: the maps to return; the last two only for an EfficientNet:

            - ``"stages"``: the output of the last stage of each stride, as timm's ``features_only``.
            - ``"stem"``: the same, but the map at stride 2 is the output of the stem, as in
              segmentation_models_pytorch.
            - ``"expanded"``: each map at strides 2 to 16 is the expanded one (1x1 convolution, normalization,
              activation) inside the next block that halves the size; the map at stride 32 is the output of the last
              1x1 convolution, with normalization and activation. Encoder-decoder networks in Keras use these maps.
        dilate_first: with an output stride below 32, dilate the convolution that would halve the size as well, as
            segmentation_models_pytorch does; timm dilates only those after it.

    Attributes:
        channels: channels of the five maps, finest first.
        strides: strides of the five maps, finest first.
        pretrained: origin of the weights and their normalization, or None for random weights.

    Raises:
        UnknownNameError: if timm does not have the network, or ``weights`` or ``maps`` is any other name.
        InputError: if the network has other feature levels (the message names the strides), does not have the
            requested maps or pre-trained weights, or does not support the output stride.
        CheckpointError: if the file of weights is missing, damaged or of another network.
        DownloadError: if the weights cannot be downloaded.

    Example:
        >>> encoder = Encoder("resnet18", in_channels=1)
        >>> encoder.channels
        (64, 64, 128, 256, 512)
        >>> [tuple(x.shape[2:]) for x in encoder(torch.rand(2, 1, 64, 64))]
        [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        weights: str | Path | None = None,
        output_stride: int = 32,
        maps: str = STAGES,
        dilate_first: bool = False,
    ) -> None:
        super().__init__()
        if output_stride not in _OUTPUT_STRIDES:
            raise InputError(f"output_stride is {output_stride!r}: it has to be one of {_OUTPUT_STRIDES}")
        _check_names(name, weights)
        self.maps = look_up("encoder maps", maps, {option: option for option in _MAPS}, "")
        if maps != STAGES and not is_efficientnet(name):
            raise InputError(f"maps is {maps!r}: {name!r} is not an EfficientNet, use maps={STAGES!r}")
        if maps == EXPANDED and output_stride != _STRIDES[-1]:
            raise InputError(f"output_stride is {output_stride}: maps={EXPANDED!r} needs {_STRIDES[-1]}")
        self.strides = tuple(min(stride, output_stride) for stride in _STRIDES)
        options: dict[str, Any] = {"num_classes": 0} if maps == EXPANDED else {"features_only": True}
        if output_stride != _STRIDES[-1]:
            # Not passed by default: networks that cannot dilate do not accept the argument.
            options["output_stride"] = output_stride
        dilated = "" if output_stride == _STRIDES[-1] else f" with output stride {output_stride}"
        network: Any = _create(name, in_channels, weights, f"feature maps{dilated}", options)
        self.network: nn.Module = network
        self.pretrained = _load(network, name, in_channels, weights)
        strides = _strides(network)
        if strides != self.strides:
            raise _other_strides(name, strides, self.strides)
        if dilate_first and output_stride != _STRIDES[-1]:
            _dilate_first(network, name)
        channels = [level["num_chs"] for level in _levels(network)]
        if maps == STEM:
            channels[0] = network.conv_stem.out_channels
        if maps == EXPANDED:
            expanded = [stage[0].conv_pw.out_channels for stage in network.blocks if _halves_size(stage[0])]
            channels = [*expanded, network.conv_head.out_channels]
        self.channels: Sequence[int] = tuple(channels)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Encode (B, in_channels, H, W) into five maps (B, C_i, H / stride_i, W / stride_i), finest first."""
        if self.maps == STEM:
            return self._stem_maps(images)
        if self.maps == EXPANDED:
            return self._expanded_maps(images)
        return self.network(images)

    def _stem_maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        network: Any = self.network
        x = network.bn1(network.conv_stem(images))
        maps = [x]
        ends = {level["module"] for level in _levels(network)[1:]}
        for name, stage in network.blocks.named_children():
            x = stage(x)
            if f"blocks.{name}" in ends:
                maps.append(x)
        return maps

    def _expanded_maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        network: Any = self.network
        x = network.bn1(network.conv_stem(images))
        maps = []
        for stage in network.blocks:
            for block in stage:
                if not _halves_size(block):
                    x = block(x)
                    continue
                x = block.bn1(block.conv_pw(x))
                maps.append(x)
                # A block that halves the size has no shortcut.
                for layer in (block.conv_dw, block.bn2, block.aa, block.se, block.conv_pwl, block.bn3):
                    x = layer(x)
        maps.append(network.bn2(network.conv_head(x)))
        return maps


class PooledFeatures(nn.Module):
    """A timm classification network without its last layer: one vector per image.

    It averages its deepest maps by :class:`~acsnet.layers.GlobalAverage`. EfficientNets include their last 1x1
    convolution, which the maps of :class:`Encoder` leave out by default. ResNets, EfficientNets and most other networks
    have the same names of weights in both classes.

    Args:
        name: name of a timm network that has the feature levels of :class:`Encoder`.
        in_channels: channels of the input; timm adapts the pre-trained weights of the first layer.
        weights: ``"imagenet"`` for timm's default pre-trained weights, the path of a file of weights, or None for
            random weights. A file has the names of timm or torchvision, or is an EfficientNet-Lite file; nothing is
            unpickled.

    Attributes:
        channels: D, length of the vector.
        pretrained: origin of the weights and their normalization, or None for random weights.

    Raises:
        UnknownNameError, InputError, CheckpointError, DownloadError: as in :class:`Encoder`; InputError also if the
            network does not average its maps.

    Example:
        >>> features = PooledFeatures("mobilenetv3_small_050", in_channels=1).eval()
        >>> features.channels, features(torch.rand(2, 1, 64, 64)).shape
        (1024, torch.Size([2, 1024]))
    """

    def __init__(self, name: str, in_channels: int = 3, weights: str | Path | None = None) -> None:
        super().__init__()
        _check_names(name, weights)
        network: Any = _create(name, in_channels, weights, "classification", {"num_classes": 0})
        self.network: nn.Module = network
        self.pretrained = _load(network, name, in_channels, weights)
        strides = _strides(network)
        if strides != _STRIDES:
            raise _other_strides(name, strides, _STRIDES)
        pools = [(path, pool) for path, pool in network.named_modules() if isinstance(pool, SelectAdaptivePool2d)]
        if [pool.pool_type for _, pool in pools] != ["avg"]:
            raise InputError(
                f"encoder {name!r} cannot be used for classification: it does not average its feature maps; use an "
                "encoder such as resnet18 or efficientnet_b0"
            )
        ((path, pool),) = pools
        is_flat = not isinstance(pool.flatten, nn.Identity)
        average = GlobalAverage() if is_flat else nn.Sequential(GlobalAverage(), nn.Unflatten(1, (-1, 1, 1)))
        parent, _, attribute = path.rpartition(".")
        setattr(network.get_submodule(parent), attribute, average)
        self.channels = int(network.head_hidden_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode (B, in_channels, H, W) into vectors (B, D)."""
        return self.network(images)


def pretrained_weights(model: nn.Module) -> tuple[PretrainedWeights, ...]:
    """Return the origins of the pretrained weights of all encoders of a network, each once; none for random weights.

    Example:
        >>> pretrained_weights(Encoder("mobilenetv3_small_050"))
        ()
    """
    encoders = [module for module in model.modules() if isinstance(module, Encoder | PooledFeatures)]
    return tuple(dict.fromkeys(encoder.pretrained for encoder in encoders if encoder.pretrained is not None))


def _architecture(name: str) -> str:
    return str(name).partition(".")[0]


def _dilate_first(network: nn.Module, name: str) -> None:
    """Dilate each convolution that would halve the size in the same network of output stride 32."""
    with torch.device("meta"):
        plain = dict(timm.create_model(name, features_only=True).named_modules())
    for path, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        stride = plain[path].stride[0]
        if stride != module.stride[0] and module.kernel_size[0] > 1:
            dilation = module.dilation[0] * stride
            module.dilation = (dilation, dilation)
            if module.padding[0]:
                module.padding = (module.kernel_size[0] // 2 * dilation, module.kernel_size[1] // 2 * dilation)


def _halves_size(block: Any) -> bool:
    return block.conv_dw.stride[0] == 2


def _levels(network: Any) -> list[dict[str, Any]]:
    """Return timm's description of the feature levels, a list for whole networks and an object for pyramids."""
    info = network.feature_info
    return info if isinstance(info, list) else info.get_dicts()


def _strides(network: Any) -> tuple[int, ...]:
    return tuple(level["reduction"] for level in _levels(network))


def _other_strides(name: str, strides: tuple[int, ...], expected: tuple[int, ...]) -> InputError:
    return InputError(
        f"encoder {name!r} has feature maps at strides {strides}, expected five at {expected}: "
        "use a convolutional encoder such as resnet18 or efficientnet_b0"
    )


def _check_names(name: str, weights: str | Path | None) -> None:
    look_up("encoder", _architecture(name), dict.fromkeys(timm.list_models()), "timm.list_models() lists all")
    if weights is not None and check_weights_name(weights) is None:
        _check_pretrained(name)


def _check_pretrained(name: str) -> None:
    if not timm.is_model_pretrained(name):
        raise InputError(
            f"timm has no pre-trained weights for encoder {name!r}: choose one from timm.list_pretrained(), use a file "
            "of weights: encoder_weights=PATH, or use random weights: encoder_weights=None"
        )


def _create(name: str, in_channels: int, weights: str | Path | None, use: str, options: dict[str, Any]) -> nn.Module:
    is_download = weights is not None and check_weights_name(weights) is None
    if is_download:
        # Naming the safetensors file keeps timm from falling back to a pickled one.
        options = options | {"pretrained_cfg_overlay": {"hf_hub_filename": "model.safetensors"}}
    try:
        return timm.create_model(name, in_chans=in_channels, pretrained=is_download, **options)
    except _UNSUPPORTED_ERRORS as error:
        raise _unusable(name, use, error) from error
    except _DOWNLOAD_ERRORS as error:
        if not is_download:
            raise _unusable(name, use, error) from error
        raise DownloadError(
            f"the ImageNet weights of {name} could not be downloaded ({_first_line(error)}): connect to the internet "
            "once, use a file of weights: encoder_weights=PATH, or use random weights: encoder_weights=None (in a "
            "configuration: --set model.encoder_weights=null)"
        ) from error


def _load(network: nn.Module, name: str, in_channels: int, weights: str | Path | None) -> PretrainedWeights | None:
    """Load a file of weights, or describe the downloaded ones."""
    if weights is None:
        return None
    path = check_weights_name(weights)
    return hub_weights(network, name) if path is None else load_encoder_weights(network, name, in_channels, path)


def _unusable(name: str, use: str, error: Exception) -> InputError:
    return InputError(f"encoder {name!r} cannot be used for {use}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
