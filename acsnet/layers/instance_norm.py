"""Instance normalization that keeps the channels last."""

import torch
from torch import nn
from torch.nn import functional

from acsnet.layers.lean import is_eager_on_cpu


class InstanceNorm2d(nn.InstanceNorm2d):
    """``nn.InstanceNorm2d`` that on a CPU leaves a map in channels last as it is.

    PyTorch's own copies it to another layout and gives it on in that, so that each convolution after it copies again.
    Batch normalization of one image is instance normalization, and has no such need. Ulyanov, Vedaldi, Lempitsky 2016,
    "Instance Normalization: The Missing Ingredient for Fast Stylization".

    Args:
        num_features: C.
        affine: whether to learn a scale and a shift per channel.
    """

    def __init__(self, num_features: int, affine: bool = True) -> None:
        super().__init__(num_features, affine=affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not is_eager_on_cpu(x) or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        images = [
            functional.batch_norm(image, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for image in x.split(1)
        ]
        return torch.cat(images)
