import pytest
import torch
from torch.nn import functional
from torchvision.ops import deform_conv2d

from acsnet.errors import InputError, UnknownNameError
from acsnet.layers import CBAM, ChannelAttention, DeformableSpatialAttention

Parameters = dict[str, torch.Tensor]


def randomize(module: torch.nn.Module, std: float = 0.3) -> None:
    """Change every parameter from its initial value: offsets and modulation start at zero, normalizations at one."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=std)


def channel_attention(x: torch.Tensor, p: Parameters) -> torch.Tensor:
    pooled = torch.cat((x.flatten(2).mean(2), x.flatten(2).max(2).values), dim=1)
    hidden = functional.linear(pooled, p["weigh.0.weight"], p["weigh.0.bias"]).relu()
    assert hidden.shape[1] == x.shape[1] // 16
    weights = functional.linear(hidden, p["weigh.2.weight"], p["weigh.2.bias"]).sigmoid()
    return torch.einsum("bchw,bc->bchw", x, weights).relu()


def deformable_block(x: torch.Tensor, p: Parameters, name: str) -> torch.Tensor:
    """ReLU(GN_{C/4}(DCNv2 3x3 (x))), by torchvision's operator."""
    offset = functional.conv2d(x, p[f"{name}.0.offset.weight"], p[f"{name}.0.offset.bias"], padding=1)
    modulation = functional.conv2d(x, p[f"{name}.0.modulation.weight"], p[f"{name}.0.modulation.bias"], padding=1)
    assert (offset.shape[1], modulation.shape[1]) == (18, 9)
    y = deform_conv2d(x, offset, p[f"{name}.0.weight"], padding=1, mask=modulation.sigmoid())
    return functional.group_norm(y, y.shape[1] // 4, p[f"{name}.1.weight"], p[f"{name}.1.bias"]).relu()


def deformable_spatial_attention(x: torch.Tensor, p: Parameters) -> torch.Tensor:
    c = deformable_block(x, p, "gather")
    mean = functional.conv2d(c.mean(1, keepdim=True), p["average_map.weight"], p["average_map.bias"], padding=1)
    largest = c.max(1, keepdim=True).values
    maximum = functional.conv2d(largest, p["maximum_map.weight"], p["maximum_map.bias"], padding=1)
    return deformable_block(torch.cat((mean.sigmoid() * c, maximum.sigmoid() * c), dim=1), p, "merge")


def test_channel_attention_is_the_published_formula() -> None:
    layer = ChannelAttention(32).double()
    randomize(layer)
    x = torch.randn(3, 32, 4, 6, dtype=torch.float64)
    expected = channel_attention(x, dict(layer.named_parameters()))
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_channel_attention_by_hand() -> None:
    """Average 1 and maximum 3 of every channel; weights that add both up to 4 and give sigmoid(2 * 4 - 8) = 1/2."""
    layer = ChannelAttention(16)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.weigh[0].weight.fill_(1 / 16)
        layer.weigh[2].weight.fill_(2.0)
        layer.weigh[2].bias.fill_(-8.0)
    x = torch.tensor([[0.0, 3.0], [-1.0, 2.0]]).expand(1, 16, 2, 2)
    torch.testing.assert_close(layer(x), torch.tensor([[0.0, 1.5], [0.0, 1.0]]).expand(1, 16, 2, 2))


@pytest.mark.parametrize("channels", [0, 15])
def test_channel_attention_takes_16_channels_or_more(channels: int) -> None:
    with pytest.raises(InputError, match=f"channel attention takes at least 16 channels, got {channels}$"):
        ChannelAttention(channels)


def test_deformable_spatial_attention_is_the_published_formula() -> None:
    layer = DeformableSpatialAttention(8).double()
    randomize(layer)
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    parameters = dict(layer.named_parameters())
    offsets = functional.conv2d(x, parameters["gather.0.offset.weight"], padding=1)
    assert offsets.abs().max() > 1, "positions move by more than a pixel"
    expected = deformable_spatial_attention(x, parameters)
    assert expected.std() > 0.1
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_the_formula() -> None:
    layer = DeformableSpatialAttention(8).double()
    randomize(layer)
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64, requires_grad=True)
    inputs = [x, *layer.parameters()]
    parameters = dict(layer.named_parameters())
    ours = torch.autograd.grad(layer(x).square().sum(), inputs)
    theirs = torch.autograd.grad(deformable_spatial_attention(x, parameters).square().sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-8)


def test_deformable_convolutions_have_no_bias_and_start_with_half_of_a_plain_one() -> None:
    """Offsets start at zero and modulation at sigmoid(0) = 1/2."""
    layer = DeformableSpatialAttention(8)
    x = torch.randn(1, 8, 5, 5)
    for block, channels in ((layer.gather, 8), (layer.merge, 16)):
        convolution = block[0]
        assert convolution.bias is None
        y = torch.randn(1, channels, 5, 5) if channels == 16 else x
        plain = functional.conv2d(y, convolution.weight, padding=1)
        torch.testing.assert_close(convolution(y), plain / 2, rtol=1e-4, atol=1e-5)


def test_backends_agree() -> None:
    layers = [DeformableSpatialAttention(8, backend).double() for backend in ("torch", "torchvision")]
    randomize(layers[0])
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(1, 8, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(layers[0](x), layers[1](x), rtol=1e-10, atol=1e-10)


def test_the_backend_is_passed_to_the_convolutions() -> None:
    layer = DeformableSpatialAttention(8, "torchvision")
    assert layer.gather[0].backend == layer.merge[0].backend == "torchvision"
    with pytest.raises(UnknownNameError, match=r"unknown deformable convolution backend 'troch'.*'torch'"):
        DeformableSpatialAttention(8, "troch")


@pytest.mark.parametrize("channels", [0, -4, 6])
def test_deformable_spatial_attention_takes_multiples_of_4(channels: int) -> None:
    message = f"deformable spatial attention takes a multiple of 4 channels, got {channels}$"
    with pytest.raises(InputError, match=message):
        DeformableSpatialAttention(channels)


def convolutional_block_attention(x: torch.Tensor, p: Parameters) -> torch.Tensor:
    """Restate equations 1 to 3 of Woo et al.: per-channel and per-pixel factors, one after the other."""

    def perceptron(pooled: torch.Tensor) -> torch.Tensor:
        hidden = functional.linear(pooled, p["weigh.0.weight"], p["weigh.0.bias"]).clamp(min=0)
        return functional.linear(hidden, p["weigh.2.weight"], p["weigh.2.bias"])

    flat = x.flatten(2)
    channels = 1 / (1 + torch.exp(-perceptron(flat.mean(2)) - perceptron(flat.max(2).values)))
    x = torch.einsum("bchw,bc->bchw", x, channels)
    # The 7x7 convolution of mean and maximum as a sum over shifted maps.
    maps = functional.pad(torch.stack((x.mean(1), x.max(1).values), dim=1), (3, 3, 3, 3))
    height, width = x.shape[2:]
    logits = p["weigh_pixels.bias"].view(1, 1, 1)
    for row in range(7):
        for column in range(7):
            shifted = maps[:, :, row : row + height, column : column + width]
            logits = logits + torch.einsum("bchw,c->bhw", shifted, p["weigh_pixels.weight"][0, :, row, column])
    return x * (1 / (1 + torch.exp(-logits)))[:, None]


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(32, 16, 2), (32, 4, 8), (6, 16, 1)])
def test_cbam_is_the_published_formula(channels: int, reduction: int, hidden: int) -> None:
    layer = CBAM(channels, reduction).double()
    randomize(layer)
    assert layer.weigh[0].weight.shape == (hidden, channels)
    x = torch.randn(3, channels, 9, 5, dtype=torch.float64, requires_grad=True)
    parameters = dict(layer.named_parameters())
    expected = convolutional_block_attention(x, parameters)
    assert expected.std() > 0.1
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    inputs = [x, *parameters.values()]
    ours = torch.autograd.grad(layer(x).square().sum(), inputs)
    theirs = torch.autograd.grad(expected.square().sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-10)


def test_cbam_by_hand() -> None:
    """All weights zero: every factor is sigmoid(0) = 1/2, so that a quarter is left."""
    layer = CBAM(4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    x = torch.arange(16.0).view(1, 4, 2, 2)
    torch.testing.assert_close(layer(x), x / 4)
    # The 7x7 convolution has the mean and the maximum of the halved channels.
    with torch.no_grad():
        layer.weigh_pixels.weight[0, :, 3, 3] = torch.tensor([1.0, -2.0])
    halved = x / 2
    logits = halved.mean(1, keepdim=True) - 2 * halved.amax(1, keepdim=True)
    torch.testing.assert_close(layer(x), halved * logits.sigmoid())


@pytest.mark.parametrize(("channels", "reduction"), [(0, 16), (32, 0)])
def test_cbam_takes_counts_of_at_least_1(channels: int, reduction: int) -> None:
    message = f"CBAM takes at least 1 channel and a reduction of 1 or more, got {channels}, {reduction}$"
    with pytest.raises(InputError, match=message):
        CBAM(channels, reduction)
