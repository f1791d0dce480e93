import pytest
import torch
from torch import nn
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.layers import PyramidPooling


def test_pyramid_pooling_is_the_published_formula() -> None:
    """The averages of cells are computed by slicing; a map of 6x12 pixels divides into all grids."""
    torch.manual_seed(0)
    layer = PyramidPooling(5, 4).double().eval()
    x = torch.randn(2, 5, 6, 12, dtype=torch.float64)
    expected = [x]
    for grid, (convolution, norm, _) in zip((1, 2, 3, 6), layer.project, strict=True):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        cells = x.view(2, 5, grid, 6 // grid, grid, 12 // grid).mean(dim=(3, 5))
        y = torch.einsum("bchw,oc->bohw", cells, convolution.weight[:, :, 0, 0]) + convolution.bias[:, None, None]
        y = (y - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
        expected.append(functional.interpolate(y * torch.sigmoid(y), size=(6, 12), mode="bilinear"))
    found = layer(x)
    assert found.shape == (2, 5 + 4 * 4, 6, 12)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-10, atol=1e-12)


def test_other_grids_and_maps_smaller_than_them() -> None:
    layer = PyramidPooling(3, 2, grids=(1, 4)).eval()
    assert [type(module) for module in layer.project[0]] == [nn.Conv2d, nn.BatchNorm2d, nn.SiLU]
    assert layer(torch.randn(1, 3, 2, 3)).shape == (1, 3 + 2 * 2, 2, 3)


def test_a_single_image_in_training_is_refused() -> None:
    layer = PyramidPooling(3, 2)
    message = (
        r"the batch size is 1: expected at least 2 in training, since pyramid pooling normalizes one value per image "
        r"over the batch \(in a configuration: training\.batch_size\)"
    )
    with pytest.raises(InputError, match=message):
        layer(torch.randn(1, 3, 8, 8))
    assert layer.eval()(torch.randn(1, 3, 8, 8)).shape == (1, 11, 8, 8)
