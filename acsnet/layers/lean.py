"""Layers that save memory or time on a CPU; on other devices, and in compiled and exported graphs, they are plain."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def is_eager_on_cpu(x: torch.Tensor | torch.fx.Proxy) -> bool:
    """Whether ``x`` lies on a CPU and is computed with, not traced by torch.compile, torch.export or torch.fx."""
    return not torch.compiler.is_compiling() and not isinstance(x, torch.fx.Proxy) and x.device.type == "cpu"


def checkpointed(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> torch.Tensor:
    """Compute ``function(*arguments)``; on a CPU its inner maps are computed again in the backward pass, not kept.

    For cheap operations on large maps. A convolution at the end costs nothing: its backward pass needs its input, and
    once that is there the second computation stops. Nothing in it may draw random numbers. A GPU has more memory, and
    a second computation would keep its host busy.
    """
    if not is_eager_on_cpu(arguments[0]) or not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


class Checkpointed(nn.Sequential):
    """A sequence whose inner maps are not kept on a CPU; see :func:`checkpointed`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``nn.Sequential``."""
        return checkpointed(super().forward, x)


class PerImage(nn.Sequential):
    """A sequence that runs image by image on a CPU, whose caches hold the maps of one image but not those of a batch.

    For layers that do not mix images, that is all but batch normalization.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``nn.Sequential``."""
        if not is_eager_on_cpu(x):
            return super().forward(x)
        return torch.cat([super(PerImage, self).forward(image) for image in x.split(1)])


class Deferred(NamedTuple):
    """A map that is cheap to make and not made yet: ``make(*maps)``.

    Attributes:
        make: Makes the map.
        maps: What it is made of.
    """

    make: Callable[..., torch.Tensor]
    maps: tuple[torch.Tensor, ...]


class DeferredInputConv2d(nn.Conv2d):
    """A convolution that makes its input itself, and on a CPU makes it again in the backward pass to not keep it."""

    def forward(self, x: Deferred) -> torch.Tensor:  # type: ignore[override]
        """Make the map, then as ``nn.Conv2d``."""
        return checkpointed(lambda *maps: super(DeferredInputConv2d, self).forward(x.make(*maps)), *x.maps)


class DeferredSequential(nn.Sequential):
    """Cheap layers and a last one that takes a :class:`Deferred`: their maps are made where the last one makes them."""

    def forward(self, x: Deferred) -> torch.Tensor:
        """Hand the last layer a map that is made by ``x`` and all layers before."""
        *cheap, last = self

        def make(*maps: torch.Tensor) -> torch.Tensor:
            y = x.make(*maps)
            for layer in cheap:
                y = layer(y)
            return y

        return last(Deferred(make, x.maps))
