"""Pooled features of a classification network of timm."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import SelectAdaptivePool2d
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool
from torch import nn

from acsnet.errors import InputError
from acsnet.layers.heads import GlobalAverage
from acsnet.layers.timm_networks import (
    STRIDES,
    check_names,
    create,
    first_level,
    layer_numbers,
    size_options,
    timm_name,
)

# FastAdaptiveAvgPool averages these dimensions of maps (B, H, W, C).
_CHANNELS_LAST_DIMS = (1, 2)


class Permute(nn.Module):
    """Changes the order of the dimensions.

    Args:
        order: the dimensions of the input in their new order.
    """

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Permute the dimensions of a tensor."""
        return x.permute(self.order)


class PooledFeatures(nn.Module):
    """A timm classification network without its last layer: one vector per image.

    It averages its deepest maps by :class:`~acsnet.layers.GlobalAverage`. EfficientNets include their last 1x1
    convolution, which the maps of :class:`~acsnet.layers.Encoder` leave out by default. ResNets, EfficientNets and most
    other networks have the same names of weights in both classes.

    Args:
        name: name of a timm network that has the feature levels of :class:`~acsnet.layers.Encoder`.
        in_channels: channels of the input; timm adapts the pre-trained weights of the first layer.
        weights: ``"imagenet"`` for timm's default pre-trained weights, the path of a file of weights, or None for
            random weights. A file has the names of timm or torchvision, or is an EfficientNet-Lite file; nothing is
            unpickled.
        image_size: (height, width) of the images; see :class:`~acsnet.layers.Encoder`.

    Attributes:
        channels: D, length of the vector.
        image_size: (height, width) of the images, or None for any size.
        pretrained: origin of the weights and their normalization, or None for random weights.

    Raises:
        UnknownNameError, InputError, CheckpointError, DownloadError: as in
            :class:`~acsnet.layers.Encoder`; InputError also if the network does not average its maps.

    Example:
        >>> features = PooledFeatures("mobilenetv3_small_050", in_channels=1).eval()
        >>> features.channels, features(torch.rand(2, 1, 64, 64)).shape
        (1024, torch.Size([2, 1024]))
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        weights: str | Path | None = None,
        image_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_names(name, weights)
        options: dict[str, Any] = {"num_classes": 0, **size_options(name, image_size)}
        self.image_size = None if image_size is None else (image_size[0], image_size[1])
        network: Any
        network, self.pretrained = create(name, in_channels, weights, "classification", options)
        self.name, self.network = name, network
        first_level(name, network, STRIDES)
        self._is_channels_last = False
        self._average_maps(network, options)
        self.channels = int(network.head_hidden_size)

    def _average_maps(self, network: Any, options: Mapping[str, Any]) -> None:
        """Replace the average pooling of a network by that of this package."""
        if self._averages_outside_of_layers(network, options):
            self._pool: nn.Module | None = GlobalAverage()
            return
        self._pool = None
        pools = [(path, pool) for path, pool in network.named_modules() if isinstance(pool, SelectAdaptivePool2d)]
        if [pool.pool_type for _, pool in pools] not in (["avg"], ["fast"], ["fastavg"]):
            raise InputError(
                f"encoder {self.name!r} cannot be used for classification: it does not average its feature maps; use "
                "an encoder such as resnet18 or efficientnet_b0"
            )
        ((path, pool),) = pools
        layers: list[nn.Module] = [GlobalAverage()]
        is_flat = not isinstance(pool.flatten, nn.Identity)
        if isinstance(pool.pool, FastAdaptiveAvgPool):
            is_flat = pool.pool.flatten
            self._is_channels_last = pool.pool.dim == _CHANNELS_LAST_DIMS
        if self._is_channels_last:
            layers.insert(0, Permute(0, 3, 1, 2))
        if not is_flat:
            layers.append(nn.Unflatten(1, (1, 1, -1) if self._is_channels_last else (-1, 1, 1)))
        parent, _, attribute = path.rpartition(".")
        setattr(network.get_submodule(parent), attribute, layers[0] if len(layers) == 1 else nn.Sequential(*layers))

    def _averages_outside_of_layers(self, network: Any, options: Mapping[str, Any]) -> bool:
        """Return whether a network only averages maps (B, C, H, W) at its end, without a layer for it, as PVT-v2."""
        if any(isinstance(module, SelectAdaptivePool2d) for module in network.modules()):
            return False
        with torch.device("meta"):
            twin = timm.create_model(timm_name(self.name), **options)
            images = torch.empty(1, 3, *(self.image_size or (2 * STRIDES[-1], 2 * STRIDES[-1])))
            maps = twin.eval().forward_features(images)
            used: list[nn.Module] = []
            for module in twin.modules():
                if next(module.parameters(recurse=False), None) is not None:
                    module.register_forward_hook(lambda layer, *_: used.append(layer))
            if not isinstance(maps, torch.Tensor) or maps.ndim != 4:
                return False
            vector = twin.forward_head(maps)
        return not used and vector.shape == maps.shape[:2]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode (B, in_channels, H, W) into vectors (B, D)."""
        return self.network(images) if self._pool is None else self._pool(self.deepest_maps(images))

    def deepest_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Encode (B, in_channels, H, W) into the deepest maps (B, C, H/32, W/32), before the last layers."""
        network: Any = self.network
        maps = network.forward_features(images)
        return maps.permute(0, 3, 1, 2) if self._is_channels_last else maps

    def layer_numbers(self) -> dict[str, int]:
        """Return the number of the layer of each parameter, by its name here; 0 for the first."""
        return {f"network.{key}": number for key, number in layer_numbers(self.network, self.name).items()}
