"""Layers that save memory or time in eager mode on a CPU.

On other devices, and in compiled and exported graphs, they run as the plain layers. The results are always the same.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from acsnet._utils.tracing import is_traced


def is_eager_on_cpu(x: torch.Tensor | torch.fx.Proxy) -> bool:
    """Return whether ``x`` is on a CPU and is not being traced by torch.compile, torch.export or torch.fx."""
    return not is_traced(x) and x.device.type == "cpu"


def checkpointed(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> torch.Tensor:
    """Compute ``function(*arguments)``; on a CPU, recompute inner maps in the backward pass instead of storing them.

    Use it for cheap operations on large maps. A convolution at the end is not recomputed, because the recomputation
    stops as soon as the input of the convolution is available. On a GPU nothing is recomputed: launching the operations
    again would cost more time than the memory is worth.

    Args:
        function: returns one map; must not draw random numbers.
        arguments: the arguments of ``function``, at least one.

    Returns:
        The result of ``function``.
    """
    if not is_eager_on_cpu(arguments[0]) or not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)


class Checkpointed(nn.Sequential):
    """``nn.Sequential`` whose inner maps are recomputed instead of stored on a CPU; see :func:`checkpointed`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layers in order."""
        return checkpointed(super().forward, x)


class PerImage(nn.Sequential):
    """``nn.Sequential`` that runs one image at a time on a CPU, so that the maps fit into the CPU's caches.

    Use it only for layers that compute each image separately, which excludes batch normalization.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layers in order."""
        if not is_eager_on_cpu(x):
            return super().forward(x)
        return torch.cat([super(PerImage, self).forward(image) for image in x.split(1)])


class Deferred(NamedTuple):
    """A map that is computed only when the next layer needs it: ``make(*maps)``.

    A convolution stores its input for the backward pass. If the input is large but cheap to compute, such as a scaled
    or upsampled map, it is better to store the smaller ``maps`` and compute the input twice: in the forward pass and
    again in the backward pass. A ``Deferred`` is passed to such a convolution in place of its input:

    >>> x, scale = torch.ones(1, 2, 4, 4), torch.full((1, 2, 1, 1), 0.5)
    >>> convolution = DeferredInputConv2d(2, 3, kernel_size=1)
    >>> output = convolution(Deferred(torch.mul, (x, scale)))  # equals nn.Conv2d on x * scale, which is not stored
    >>> output.shape
    torch.Size([1, 3, 4, 4])

    Attributes:
        make: function that computes the map; must be cheap and must not draw random numbers.
        maps: arguments of ``make``; these tensors are stored for the backward pass.
    """

    make: Callable[..., torch.Tensor]
    maps: tuple[torch.Tensor, ...]


class DeferredInputConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose input is a :class:`Deferred` map.

    The layer computes its input itself. On a CPU it recomputes it in the backward pass instead of storing it.
    """

    def forward(self, x: Deferred) -> torch.Tensor:  # type: ignore[override]
        """Compute the deferred map and convolve it."""
        return checkpointed(lambda *maps: super(DeferredInputConv2d, self).forward(x.make(*maps)), *x.maps)


class DeferredSequential(nn.Sequential):
    """A sequence of cheap layers and a last layer that takes a :class:`Deferred` map.

    The cheap layers become a part of the deferred map: the last layer computes them, and on a CPU none of their outputs
    is stored. The last layer is a :class:`DeferredInputConv2d` or a
    :class:`~acsnet.layers.DeferredInputConvNormAct`.
    """

    def forward(self, x: Deferred) -> torch.Tensor:
        """Apply the cheap layers to the deferred map, without computing it, and call the last layer with the result."""
        *cheap, last = self

        def make(*maps: torch.Tensor) -> torch.Tensor:
            y = x.make(*maps)
            for layer in cheap:
                y = layer(y)
            return y

        return last(Deferred(make, x.maps))
