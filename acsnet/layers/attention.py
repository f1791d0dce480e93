"""Channel attention and deformable spatial attention of ACSNet (He et al. 2024), and CBAM (Woo et al. 2018)."""

import torch
from torch import nn

from acsnet.errors import InputError
from acsnet.ops import ModulatedDeformConv2dPack


class ChannelAttention(nn.Module):
    """Channel attention: one weight per channel, computed from the global average and the global maximum of the map.

    ``w = sigmoid(Linear_C(ReLU(Linear_{C/16}(concat(average, maximum)))))``, ``out = ReLU(x * w)``:
    (B, C, H, W) -> (B, C, H, W). Source: He et al. 2024.

    Args:
        channels: C, at least 16.

    Raises:
        InputError: if there are fewer than 16 channels.

    Example:
        >>> attention = ChannelAttention(16)
        >>> attention(torch.rand(2, 16, 8, 8)).shape
        torch.Size([2, 16, 8, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 16:
            raise InputError(f"channel attention takes at least 16 channels, got {channels}")
        self.weigh = nn.Sequential(
            nn.Linear(2 * channels, channels // 16),
            nn.ReLU(inplace=True),
            nn.Linear(channels // 16, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weight the channels: (B, C, H, W) -> (B, C, H, W)."""
        pooled = torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)  # (B, 2C)
        return torch.relu(x * self.weigh(pooled)[:, :, None, None])


class DeformableSpatialAttention(nn.Module):
    """Deformable spatial attention (DSAModule): one weight per pixel, computed by deformable convolutions.

    ``c = ReLU(GN(DCN(x)))``, ``a = sigmoid(conv(mean over channels of c))``, ``b = sigmoid(conv(max over channels of
    c))``, ``out = ReLU(GN(DCN(concat(a * c, b * c))))`` with modulated deformable 3x3 convolutions (DCN):
    (B, C, H, W) -> (B, C, H, W). Source: He et al. 2024.

    Args:
        channels: C, a multiple of 4.
        backend: backend of the deformable convolutions; see :func:`acsnet.ops.deform_conv2d`.

    Raises:
        InputError: if ``channels`` is not a multiple of 4.

    Example:
        >>> attention = DeformableSpatialAttention(8)
        >>> attention(torch.rand(2, 8, 6, 6)).shape
        torch.Size([2, 8, 6, 6])
    """

    def __init__(self, channels: int, backend: str = "auto") -> None:
        super().__init__()
        if channels < 4 or channels % 4:
            raise InputError(f"deformable spatial attention takes a multiple of 4 channels, got {channels}")
        self.gather = self._block(channels, channels, backend)
        self.average_map = nn.Conv2d(1, 1, 3, padding=1)
        self.maximum_map = nn.Conv2d(1, 1, 3, padding=1)
        self.merge = self._block(2 * channels, channels, backend)

    @staticmethod
    def _block(in_channels: int, out_channels: int, backend: str) -> nn.Sequential:
        return nn.Sequential(
            ModulatedDeformConv2dPack(in_channels, out_channels, 3, padding=1, bias=False, backend=backend),
            nn.GroupNorm(out_channels // 4, out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weight the pixels: (B, C, H, W) -> (B, C, H, W)."""
        c = self.gather(x)
        a = torch.sigmoid(self.average_map(c.mean(dim=1, keepdim=True)))  # (B, 1, H, W)
        b = torch.sigmoid(self.maximum_map(c.amax(dim=1, keepdim=True)))  # (B, 1, H, W)
        return self.merge(torch.cat((a * c, b * c), dim=1))


class CBAM(nn.Module):
    """Convolutional block attention module: one weight per channel, then one weight per pixel.

    ``c = x * sigmoid(MLP(average over pixels of x) + MLP(maximum over pixels of x))``, ``out = c * sigmoid(conv7x7(
    concat(mean over channels of c, maximum over channels of c)))``: (B, C, H, W) -> (B, C, H, W). The MLP is shared:
    Linear C/reduction, ReLU, Linear C. All layers have a bias. Source: Woo et al., "CBAM: Convolutional Block Attention
    Module", ECCV 2018, equations 1 to 3.

    Args:
        channels: C.
        reduction: factor from C to the hidden features of the MLP, of which there is at least one.

    Raises:
        InputError: if a count is below 1.

    Example:
        >>> attention = CBAM(32)
        >>> attention(torch.rand(2, 32, 8, 6)).shape
        torch.Size([2, 32, 8, 6])
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if channels < 1 or reduction < 1:
            raise InputError(f"CBAM takes at least 1 channel and a reduction of 1 or more, got {channels}, {reduction}")
        hidden = max(1, channels // reduction)
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))
        self.weigh_pixels = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weight channels and pixels: (B, C, H, W) -> (B, C, H, W)."""
        weights = self.weigh(x.mean(dim=(2, 3))) + self.weigh(x.amax(dim=(2, 3)))  # (B, C)
        x = x * torch.sigmoid(weights)[:, :, None, None]
        pooled = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)  # (B, 2, H, W)
        return x * torch.sigmoid(self.weigh_pixels(pooled))
