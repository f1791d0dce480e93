"""MT U-Net++ against MONAI's BasicUNetPlusPlus and the published parameter counts."""

import pytest
import torch
from monai.networks.nets import BasicUNetPlusPlus
from torch import nn

import acsnet
from acsnet.errors import InputError
from acsnet.models import MTUNetPlusPlus


@pytest.mark.parametrize(
    ("tasks", "parameters"),
    [
        (("segmentation", "classification"), 14_927_455),
        (("segmentation",), 2_410_180),
        (("classification",), 13_741_131),
    ],
)
def test_published_parameter_counts(tasks: tuple[str, ...], parameters: int) -> None:
    with torch.device("meta"):
        model = acsnet.create_model("mt_unetpp", num_classes=3, in_channels=1, tasks=tasks)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def monai_layers(reference: nn.Module) -> list[nn.Module]:
    """The reference's layers with weights in our order of declaration: encoder, mask outputs, nested nodes."""
    names = ["conv_0_0", *(f"conv_{i}_0" for i in range(1, 5))]
    names += ["final_conv_0_4", "final_conv_0_1", "final_conv_0_2", "final_conv_0_3"]
    names += [f"upcat_{i}_{j}" for j in range(1, 5) for i in range(5 - j)]
    parts = dict(reference.named_children())
    return [layer for name in names for layer in parts[name].modules() if has_weights(layer)]


def has_weights(layer: nn.Module) -> bool:
    """Whether a layer has parameters of its own."""
    return next(layer.parameters(recurse=False), None) is not None


def test_masks_equal_monai() -> None:
    torch.manual_seed(0)
    widths = (4, 6, 8, 10, 12, 5)
    reference = BasicUNetPlusPlus(spatial_dims=2, in_channels=1, out_channels=1, features=widths, deep_supervision=True)
    model = MTUNetPlusPlus(num_classes=3, in_channels=1, tasks=("segmentation",), widths=widths)
    ours = [layer for layer in model.modules() if has_weights(layer)]
    theirs = monai_layers(reference)
    assert len(ours) == len(theirs)
    for layer, other in zip(ours, theirs, strict=True):
        layer.load_state_dict(other.state_dict())
    images = torch.randn(2, 1, 32, 48)
    first, second, third, main = reference(images)
    output = model.train()(images)
    torch.testing.assert_close(output.mask, main, rtol=1e-4, atol=1e-5)
    for mask, expected in zip(output.aux, (third, second, first), strict=True):
        torch.testing.assert_close(mask, expected, rtol=1e-4, atol=1e-5)


def test_the_classifier_sees_two_maps_of_level_three_through_the_same_block() -> None:
    torch.manual_seed(0)
    model = MTUNetPlusPlus(num_classes=2, in_channels=1, tasks=("classification",), widths=(4, 4, 4, 8, 12, 4)).eval()
    seen: list[torch.Tensor] = []
    model.cls_head.down.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    images = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        model(images)
        encoder = images
        for level in model.encoder[:4]:
            encoder = level(encoder)
        nested = model.nodes["3_1"](model.encoder[4](encoder), encoder)
    assert len(seen) == 2
    torch.testing.assert_close(seen[0], encoder)
    torch.testing.assert_close(seen[1], nested)


def test_aux_masks_belong_to_training() -> None:
    model = MTUNetPlusPlus(num_classes=3, in_channels=1, widths=(4, 4, 4, 4, 4, 4))
    images = torch.randn(1, 1, 32, 32)
    assert len(model.train()(images).aux) == 3
    assert model.eval()(images).aux == ()


@pytest.mark.parametrize("widths", [(4, 4, 4), (4, 4, 4, 4, 4, 0), (4, 4, 4, 4, 4, 2.0)])
def test_widths_are_six_whole_numbers(widths: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"widths is \(.*\): expected six positive whole numbers"):
        MTUNetPlusPlus(num_classes=3, in_channels=1, widths=widths)


def test_a_single_deepest_pixel_is_refused() -> None:
    model = MTUNetPlusPlus(num_classes=3, in_channels=1, widths=(4, 4, 4, 4, 4, 4))
    with pytest.raises(InputError, match=r"images are 16x16 .* is one pixel: use 32x32"):
        model(torch.randn(1, 1, 16, 16))
