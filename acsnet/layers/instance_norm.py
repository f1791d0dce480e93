"""Instance normalization that preserves the channels-last memory format."""

import torch
from torch import nn
from torch.nn import functional

from acsnet._utils.tracing import is_traced
from acsnet.layers.lean import is_eager_on_cpu


class InstanceNorm2d(nn.InstanceNorm2d):
    """``nn.InstanceNorm2d``, preserving the channels-last memory format on a CPU.

    PyTorch's implementation returns a contiguous map, which the next convolution has to copy back to channels-last.
    This layer normalizes each image by ``batch_norm`` instead, which computes the same and preserves the format.

    Source: Ulyanov, Vedaldi, Lempitsky 2016, "Instance Normalization: The Missing Ingredient for Fast Stylization".

    Args:
        num_features: C, the number of channels.
        affine: whether to learn a scale and a shift per channel.
    """

    def __init__(self, num_features: int, affine: bool = True) -> None:
        super().__init__(num_features, affine=affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize (B, C, H, W) -> (B, C, H, W)."""
        if is_traced(x):  # PyTorch's layer checks the shape, which torch.fx cannot follow
            return functional.instance_norm(x, None, None, self.weight, self.bias, eps=self.eps)
        if not is_eager_on_cpu(x) or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        images = [
            functional.batch_norm(image, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for image in x.split(1)
        ]
        return torch.cat(images)
