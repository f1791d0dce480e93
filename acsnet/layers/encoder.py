"""Feature pyramids from timm."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import Format
from torch import nn

from acsnet._utils.naming import look_up
from acsnet._utils.tracing import is_traced
from acsnet.errors import InputError
from acsnet.layers.encoder_weights import PretrainedWeights
from acsnet.layers.pooled_features import PooledFeatures
from acsnet.layers.timm_networks import (
    STRIDES,
    architecture,
    check_names,
    create,
    first_level,
    layer_numbers,
    levels,
    size_options,
    timm_name,
)
from acsnet.layers.upsample import upsample_twice

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
    return _EFFICIENTNET.fullmatch(architecture(name)) is not None


class Encoder(nn.Module):
    """A timm network that returns its feature maps at strides 2, 4, 8, 16 and 32.

    Args:
        name: name of a timm network with these five feature levels, with or without the prefix ``tu-`` of
            segmentation_models_pytorch. The level of stride 2 may be missing, as in ConvNeXt and most transformers; the
            map at stride 4, enlarged by linear interpolation, then takes its place.
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
        image_size: (height, width) of the images, for a network that is built for one size, such as MaxViT; None for
            all others.

    Attributes:
        channels: channels of the five maps, finest first.
        strides: strides of the five maps, finest first.
        image_size: (height, width) of the images, or None for any size.
        pretrained: origin of the weights and their normalization, or None for random weights.

    Raises:
        UnknownNameError: if timm does not have the network, or ``weights`` or ``maps`` is any other name.
        InputError: if the network has other feature levels (the message names the strides), does not have the
            requested maps or pre-trained weights, does not support the output stride, or needs another image size or
            none (the message has it).
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
        image_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if output_stride not in _OUTPUT_STRIDES:
            raise InputError(f"output_stride is {output_stride!r}: it has to be one of {_OUTPUT_STRIDES}")
        check_names(name, weights)
        self.maps = look_up("encoder maps", maps, {option: option for option in _MAPS}, "")
        if maps != STAGES and not is_efficientnet(name):
            raise InputError(f"maps is {maps!r}: {name!r} is not an EfficientNet, use maps={STAGES!r}")
        if maps == EXPANDED and output_stride != STRIDES[-1]:
            raise InputError(f"output_stride is {output_stride}: maps={EXPANDED!r} needs {STRIDES[-1]}")
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)
        options: dict[str, Any] = {"num_classes": 0} if maps == EXPANDED else {"features_only": True}
        size = size_options(name, image_size)
        self.image_size = None if image_size is None else (image_size[0], image_size[1])
        use = "feature maps"
        if output_stride != STRIDES[-1]:
            # Not passed by default: networks that cannot dilate do not accept the argument.
            options["output_stride"] = output_stride
            use += f" with output stride {output_stride}"
        network: Any
        network, self.pretrained = create(name, in_channels, weights, use, {**options, **size})
        self.name, self.network = name, network
        self._first_level = first_level(name, network, self.strides)
        self._is_channels_last = getattr(network, "output_fmt", None) == Format.NHWC
        if dilate_first and output_stride != STRIDES[-1]:
            _dilate_first(network, name)
        channels = [level["num_chs"] for level in levels(network)]
        channels = [channels[0], *channels] if self._first_level < 0 else channels[self._first_level :]
        if maps == STEM:
            channels[0] = network.conv_stem.out_channels
        if maps == EXPANDED:
            expanded = [stage[0].conv_pw.out_channels for stage in network.blocks if _halves_size(stage[0])]
            channels = [*expanded, network.conv_head.out_channels]
        self.channels: Sequence[int] = tuple(channels)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Encode (B, in_channels, H, W) into five maps (B, C_i, H / stride_i, W / stride_i), finest first.

        Raises:
            InputError: if the network rounds the size of its maps, so that they do not fit together.
        """
        if self.maps == STEM:
            return self._stem_maps(images)
        if self.maps == EXPANDED:
            return self._expanded_maps(images)
        maps = self.network(images)
        if self._first_level > 0:
            maps = maps[self._first_level :]
        if self._is_channels_last:
            maps = [x.permute(0, 3, 1, 2) for x in maps]
        if self._first_level < 0:
            maps = [upsample_twice(maps[0]), *maps]
        if not is_traced(images):
            self._check_sizes(images, maps)
        return maps

    def layer_numbers(self) -> dict[str, int]:
        """Return the number of the layer of each parameter, by its name here; 0 for the first."""
        return {f"network.{key}": number for key, number in layer_numbers(self.network, self.name).items()}

    def _check_sizes(self, images: torch.Tensor, maps: Sequence[torch.Tensor]) -> None:
        height, width = images.shape[2:]
        for x, stride in zip(maps, self.strides, strict=True):
            is_divisible = height % stride == 0 and width % stride == 0
            if is_divisible and tuple(x.shape[2:]) != (height // stride, width // stride):
                raise InputError(
                    f"encoder {self.name!r} maps images of {height}x{width} to {x.shape[2]}x{x.shape[3]} at stride "
                    f"{stride}, where {height // stride}x{width // stride} is needed: use multiples of "
                    f"{2 * self.strides[-1]}"
                )

    def _stem_maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        network: Any = self.network
        x = network.bn1(network.conv_stem(images))
        maps = [x]
        ends = {level["module"] for level in levels(network)[1:]}
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


def pretrained_weights(model: nn.Module) -> tuple[PretrainedWeights, ...]:
    """Return the origins of the pretrained weights of all encoders of a network, each once; none for random weights.

    Example:
        >>> pretrained_weights(Encoder("mobilenetv3_small_050"))
        ()
    """
    encoders = [module for module in model.modules() if isinstance(module, Encoder | PooledFeatures)]
    return tuple(dict.fromkeys(encoder.pretrained for encoder in encoders if encoder.pretrained is not None))


def _dilate_first(network: nn.Module, name: str) -> None:
    """Dilate each convolution that would halve the size in the same network of output stride 32."""
    with torch.device("meta"):
        plain = dict(timm.create_model(timm_name(name), features_only=True).named_modules())
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
