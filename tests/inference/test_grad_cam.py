from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import InputError, UnknownNameError
from acsnet.inference import class_activation, explain_images, prepare_for_inference
from acsnet.inference.grad_cam import _cell_center
from acsnet.layers import Encoder, GlobalAverage, PooledEncoder, PooledFeatures, upsample_twice

Build = Callable[..., Any]
SIZE = (64, 96)


def images(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


class Own(nn.Module):
    """A network outside the zoo: a convolution, a pooling layer and a linear layer."""

    def __init__(self, pool: nn.Module, num_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 5, 4, stride=4)
        self.activate = nn.ReLU(inplace=True)
        self.pool = pool
        self.classify = nn.Linear(5, num_classes)
        self.idle = nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> acsnet.MultiTaskOutput:
        return acsnet.MultiTaskOutput(self.idle(x), self.classify(self.pool(self.activate(self.stem(x))).flatten(1)))


class Given(nn.Module):
    """Pools fixed maps for any images: logits are averages times fixed weights."""

    def __init__(self, weights: list[list[float]], *maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps
        self.pool = GlobalAverage()
        self.weights = torch.tensor(weights)

    def forward(self, x: torch.Tensor) -> acsnet.MultiTaskOutput:
        return acsnet.MultiTaskOutput(
            None, self.pool(*[one.expand(len(x), -1, -1, -1) for one in self.maps]) @ self.weights.T
        )


class MeanOfMembers(nn.Module):
    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> acsnet.MultiTaskOutput:
        labels = torch.stack([member(x).label for member in self.members])
        return acsnet.MultiTaskOutput(None, labels.softmax(dim=2).mean(dim=0).log())


def finish(heat: torch.Tensor, on_pixel: bool = False) -> torch.Tensor:
    """Interpolate (B, h, w) to (B, H, W), set negative values to zero and the maximum to 1."""
    values = interpolate(heat, on_pixel).clip(min=0)
    highest = values.max(axis=(1, 2), keepdims=True)
    # A map without evidence stays zero.
    return torch.from_numpy(values / np.where(highest > 0, highest, 1)).float()


def interpolate(heat: torch.Tensor, on_pixel: bool = False) -> Any:
    """Interpolate (B, h, w) to (B, H, W)."""
    values = heat.detach().double().numpy()
    for axis, length in ((1, SIZE[0]), (2, SIZE[1])):
        stride = length // values.shape[axis]
        centers = stride * np.arange(values.shape[axis]) + (0 if on_pixel else (stride - 1) / 2)
        pixels = np.arange(length)
        values = np.apply_along_axis(lambda line: np.interp(pixels, centers, line), axis, values)  # noqa: B023
    return values


# --- every network ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", acsnet.list_models())
def test_maps_of_every_network(name: str, build_tiny: Build) -> None:
    network = build_tiny(name)
    batch = images()
    maps = class_activation(network, batch)
    assert maps.shape == (2, *SIZE)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()
    assert maps.min() >= 0
    assert maps.amax(dim=(1, 2)).tolist() == [1, 1]
    assert maps.std() > 0.01, "a constant map has no information"
    of_classes = [class_activation(network, batch, index) for index in range(3)]
    assert not torch.allclose(of_classes[0], of_classes[1], atol=0.01)
    assert not torch.allclose(of_classes[1], of_classes[2], atol=0.01)
    with torch.no_grad():
        most_probable = network.eval()(batch).label.argmax(dim=1)
    expected = torch.stack([of_classes[index][i] for i, index in enumerate(most_probable.tolist())])
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(class_activation(network, batch, most_probable), expected)


@pytest.mark.parametrize("name", acsnet.list_models())
def test_the_network_is_left_as_it_was(name: str, build_tiny: Build) -> None:
    network = build_tiny(name).train()
    # The first child is the encoder, or the first of two networks.
    next(network.children()).eval().requires_grad_(False)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    modes = {key: module.training for key, module in network.named_modules()}
    parameters = {key: (id(parameter), parameter.requires_grad) for key, parameter in network.named_parameters()}
    hooks = hook_counts(network)
    batch = images()
    given = batch.clone()
    class_activation(network, batch)
    assert torch.equal(batch, given)
    assert {key: module.training for key, module in network.named_modules()} == modes
    assert {key: (id(one), one.requires_grad) for key, one in network.named_parameters()} == parameters
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert hook_counts(network) == hooks


def hook_counts(network: nn.Module) -> list[tuple[int, int]]:
    return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in network.modules()]


@pytest.mark.parametrize("name", acsnet.list_models())
def test_a_network_prepared_for_inference_whatever_the_caller_does_about_gradients(
    name: str, build_tiny: Build
) -> None:
    expected = class_activation(build_tiny(name), images(), torch.tensor([1, 2]))
    prepared = prepare_for_inference(build_tiny(name))
    for switch in (torch.no_grad, torch.inference_mode):
        with switch():
            batch = images().to(memory_format=torch.channels_last)
            found = class_activation(prepared, batch, torch.tensor([1, 2]))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert not found.is_inference()


# --- compared with other computations --------------------------------------------------------------------------------


def test_a_pair_s_map_is_zhou_et_al_s(build_tiny: Build) -> None:
    """One linear layer on global averages: the weights of the class times the channels."""
    network = build_tiny("fpn_resnet50").eval()
    with torch.no_grad():
        deepest = network.encoder(images())[-1]
    weights = network.cls_head.classify[-1].weight
    for index in range(3):
        expected = finish(torch.einsum("c,bchw->bhw", weights[index].detach(), deepest), on_pixel=True)
        torch.testing.assert_close(class_activation(network, images(), index), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet_b0"])
def test_the_map_of_a_classification_network_is_zhou_et_al_s(encoder: str, build_tiny: Build) -> None:
    network = build_tiny("fpn_resnet50", encoder=encoder, tasks=("classification",)).eval()
    assert sum(isinstance(module, PooledFeatures) for module in network.modules()) == 1
    with torch.no_grad():
        deepest = network.encoder.network.forward_features(images())
    weights = network.cls_head.classify[-1].weight
    expected = finish(torch.einsum("c,bchw->bhw", weights[1].detach(), deepest), on_pixel=True)
    torch.testing.assert_close(class_activation(network, images(), 1), expected, rtol=1e-4, atol=1e-5)


def test_two_networks_have_the_map_of_the_one_that_classifies(build_tiny: Build) -> None:
    network = build_tiny("two_networks")
    expected = class_activation(network.classification, images(), 1)
    torch.testing.assert_close(class_activation(network, images(), 1), expected)


def pooled_maps(name: str, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """The map that the classifier pools, captured at other modules than the tested code uses."""
    seen: dict[str, torch.Tensor] = {}
    paths = {
        "acsnet": ("cls_head.fine", "cls_head.coarse", "cls_head.decoder"),
        "mt_nnunet": ("cls_head.merge",),
    }[name]
    handles = [
        network.get_submodule(path).register_forward_hook(lambda _, __, output, path=path: seen.update({path: output}))
        for path in paths
    ]
    with torch.no_grad():
        network(batch)
    for handle in handles:
        handle.remove()
    maps = [upsample_twice(seen[path]) if path.endswith("coarse") else seen[path] for path in paths]
    return torch.cat(maps, dim=1)


@pytest.mark.parametrize("name", ["acsnet", "mt_nnunet"])
def test_the_weights_are_finite_differences(name: str, build_tiny: Build) -> None:
    """The weight of a channel is the change of the logit if the channel increases everywhere by the same value."""
    network = build_tiny(name).double().eval()
    batch = images().double()
    maps = pooled_maps(name, network, batch)
    classify = network.get_submodule("cls_head.classify.classify" if name == "mt_nnunet" else "cls_head.classify")
    step = 1e-6
    weights = torch.empty(2, maps.shape[1], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(classify(maps.mean(dim=(2, 3))), network(batch).label)
        for channel in range(maps.shape[1]):
            logits = []
            for sign in (1, -1):
                moved = maps.clone()
                moved[:, channel] += sign * step
                logits.append(classify(moved.mean(dim=(2, 3)))[:, 1])
            weights[:, channel] = (logits[0] - logits[1]) / (2 * step)
    expected = finish(torch.einsum("bc,bchw->bhw", weights, maps), on_pixel=name == "acsnet")
    torch.testing.assert_close(class_activation(network, batch, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "decoder"), [("unet", "decoder.3"), ("gated_unet", "decoder.3"), ("unetpp_refined", "decoder.nodes.3_1")]
)
def test_the_weights_of_three_maps_are_finite_differences(name: str, decoder: str, build_tiny: Build) -> None:
    """Each of the three maps of a U-Net, which have two sizes, is interpolated from its own cells."""
    network = build_tiny(name).double().eval()
    batch = images().double()
    deepest = len(network.encoder.levels) - 1
    maps: list[torch.Tensor] = []
    for path in (f"encoder.levels.{deepest - 1}", f"encoder.levels.{deepest}", decoder):
        network.get_submodule(path).register_forward_hook(lambda _, __, output: maps.append(output.detach().clone()))
    with torch.no_grad():
        logits = network(batch).label
        averages = torch.cat([x.mean(dim=(2, 3)) for x in maps], dim=1)
        classify, step = network.cls_head.classify, 1e-6
        torch.testing.assert_close(classify(averages), logits)
        moves = step * torch.eye(averages.shape[1], dtype=torch.float64)
        weights = [(classify(row + moves) - classify(row - moves))[:, 1] / (2 * step) for row in averages]
    parts = torch.stack(weights).split([x.shape[1] for x in maps], dim=1)
    heat = sum(interpolate(torch.einsum("bc,bchw->bhw", part, x)) for part, x in zip(parts, maps, strict=True))
    expected = finish(torch.from_numpy(heat))
    torch.testing.assert_close(class_activation(network, batch, 1), expected, rtol=1e-4, atol=1e-5)


def test_a_map_by_hand() -> None:
    """Two channels at the size of the image: evidence for one class is evidence against the other."""
    maps = torch.tensor([[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]])[None]
    network = Given([[1.0, -1.0], [-1.0, 3.0], [0.0, 0.0]], maps)
    x = torch.zeros(1, 3, 2, 2)
    assert class_activation(network, x, 0).tolist() == [[[1, 0], [0, 0]]]
    assert class_activation(network, x, 1).tolist() == [[[0, 0], [0, 1]]]
    assert class_activation(network, x, 2).tolist() == [[[0, 0], [0, 0]]], "there is no positive evidence"


def test_maps_of_several_sizes_are_weighted_by_their_contribution() -> None:
    """A coarse map of 3 and a fine map with mean 1 contribute 3 and 1 to the logit."""
    coarse, fine = torch.full((1, 1, 1, 1), 3.0), torch.tensor([[4.0, 0.0], [0.0, 0.0]])[None, None]
    network = Given([[1.0, 1.0]], coarse, fine)
    heat = class_activation(network, torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(heat, torch.tensor([[[7.0, 3.0], [3.0, 3.0]]]) / 7)


@pytest.mark.parametrize(
    ("encoder", "on_pixel"),
    [
        (partial(Encoder, "resnet18"), True),
        (partial(Encoder, "resnet50"), True),
        (partial(Encoder, "resnet50", output_stride=16), True),
        (partial(Encoder, "efficientnet_b4"), True),
        (partial(PooledEncoder, widths=[8, 8, 8, 8]), False),
    ],
)
def test_where_the_cells_of_encoders_lie(encoder: Callable[..., nn.Module], on_pixel: bool) -> None:
    """Mirrored images give mirrored maps, and the mirror's axis is where the two sides of the middle cells meet."""
    torch.manual_seed(0)
    network = encoder(in_channels=3).eval()
    assert _cell_center(network) == (0 if on_pixel else 0.5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data += module.weight.data.flip(3)
    # From the first cell's center to the last one's, and as far beyond on both sides.
    width = 97 if on_pixel else 96
    x = torch.randn(1, 3, 64, width)
    with torch.no_grad():
        straight, mirrored = network(x)[-1], network(x.flip(3))[-1]
    assert straight.std() > 0
    scale = straight.abs().max().item()
    torch.testing.assert_close(mirrored.flip(3), straight, rtol=0, atol=1e-4 * scale)
    assert not torch.allclose(mirrored, straight, rtol=0, atol=0.01 * scale)


def test_cells_of_encoders_with_the_padding_of_tensorflow() -> None:
    """They are the mirror image of those of symmetric padding: centered on their last pixel, not on their first."""
    torch.manual_seed(0)
    symmetric, tensorflow = Encoder("efficientnet_b0").eval(), Encoder("tf_efficientnet_b0").eval()
    assert (_cell_center(symmetric), _cell_center(tensorflow)) == (0, 1)
    for module in symmetric.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data += module.weight.data.flip(2, 3)
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    tensorflow.load_state_dict(symmetric.state_dict())
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps, mirrored = tensorflow(x), symmetric(x.flip(2, 3))
    for found, expected in zip(maps, mirrored, strict=True):
        torch.testing.assert_close(found, expected.flip(2, 3), rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_the_map_of_a_cell_that_is_centered_on_its_last_pixel() -> None:
    network = Own(GlobalAverage())
    network.encoder = Encoder("tf_efficientnet_b0")
    straight = class_activation(network, images(), 1)
    network.encoder = Encoder("efficientnet_b0")
    assert not torch.allclose(straight, class_activation(network, images(), 1), atol=0.01)
    # Cells of 4x4 pixels: 3 pixels between the first and the last one.
    torch.testing.assert_close(straight[:, 3:, 3:], class_activation(network, images(), 1)[:, :-3, :-3])


# --- ensembles -------------------------------------------------------------------------------------------------------


def test_an_ensemble_s_map_is_the_mean_of_its_members() -> None:
    left, right = (torch.zeros(1, 2, 2, 2) for _ in range(2))
    left[0, :, :, 0] = 1
    right[0, :, :, 1] = 1
    # The first member predicts class 0 by a small margin; the second and the ensemble predict class 1.
    members = Given([[1.1, 0.0], [0.0, 1.0]], left), Given([[1.0, 0.0], [0.0, 9.0]], right)
    ensemble, x = MeanOfMembers(*members), torch.zeros(3, 3, 2, 2)
    assert members[0](x).label.argmax(dim=1).tolist() == [0, 0, 0]
    maps = class_activation(ensemble, x)
    torch.testing.assert_close(maps, torch.full((3, 2, 2), 0.5))
    torch.testing.assert_close(maps, (class_activation(members[0], x, 1) + class_activation(members[1], x, 1)) / 2)


def test_an_ensemble_of_the_zoo(build_tiny: Build) -> None:
    members = build_tiny("unet"), build_tiny("mt_nnunet")
    ensemble = MeanOfMembers(*members)
    with torch.no_grad():
        most_probable = ensemble.eval()(images()).label.argmax(dim=1)
    expected = torch.stack([class_activation(member, images(), most_probable) for member in members]).mean(dim=0)
    torch.testing.assert_close(class_activation(ensemble, images()), expected)


# --- networks outside the zoo------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pool", "layer"), [(GlobalAverage(), None), (nn.AdaptiveAvgPool2d(1), "activate")])
def test_a_network_outside_the_zoo(pool: nn.Module, layer: str | None) -> None:
    network = Own(pool).requires_grad_(False)
    feature = network.stem(images()).relu()
    expected = finish(torch.einsum("c,bchw->bhw", network.classify.weight[2], feature))
    torch.testing.assert_close(class_activation(network, images(), 2, layer), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_before_one_that_works_in_place() -> None:
    """The map is the output of the layer, the gradient that of the following layers: zero where ReLU is inactive."""
    network = Own(GlobalAverage())
    feature = network.stem(images()).detach().requires_grad_()
    logit = network.classify(feature.relu().mean(dim=(2, 3)))[:, 1].sum()
    (gradient,) = torch.autograd.grad(logit, feature)
    expected = finish(torch.einsum("bc,bchw->bhw", gradient.sum(dim=(2, 3)), feature.detach()))
    torch.testing.assert_close(class_activation(network, images(), 1, "stem"), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_within_a_network_of_the_zoo(build_tiny: Build) -> None:
    """The classifier of mt_nnunet pools the output of one of its layers."""
    network = build_tiny("mt_nnunet")
    torch.testing.assert_close(
        class_activation(network, images(), 1, "cls_head.merge"), class_activation(network, images(), 1)
    )
    of_classes = [class_activation(build_tiny("acsnet"), images(), index, layer="gates.4") for index in range(3)]
    assert torch.stack(of_classes).max() == 1


# --- invalid input ---------------------------------------------------------------------------------------------------


def test_a_network_without_the_task(build_tiny: Build) -> None:
    network = build_tiny("unet", tasks=("segmentation",)).train()
    message = "UNet has no classification task, so there is no class to explain: build or train it with tasks that"
    with pytest.raises(InputError, match=message):
        class_activation(network, images())
    assert network.training
    with pytest.raises(InputError, match=message):
        class_activation(MeanOfMembers(network), images(), 0)


@pytest.mark.parametrize("index", [3, -1, 1.0, torch.tensor([0, 3]), torch.tensor([0, 1, 2]), torch.tensor([0.0, 1.0])])
def test_a_class_that_does_not_exist(index: Any) -> None:
    message = r"class_index is .*: give an integer from 0 to 2, or a tensor with one for each of the 2 images"
    network = Own(GlobalAverage())
    with pytest.raises(InputError, match=message):
        class_activation(network, images(), index)
    assert not any(map(sum, hook_counts(network))), "no hook stays behind"


def test_a_network_that_pools_in_another_way() -> None:
    message = (
        r"the classifier of Own does not pool by acsnet\.layers\.GlobalAverage, so its feature maps are unknown: name "
        r"the module that returns them, as in layer='encoder' \(model\.named_modules\(\) lists all\)"
    )
    with pytest.raises(InputError, match=message):
        class_activation(Own(nn.AdaptiveAvgPool2d(1)), images())


def test_an_invalid_layer(build_tiny: Build) -> None:
    network = Own(nn.AdaptiveAvgPool2d(1))
    with pytest.raises(UnknownNameError, match=r"unknown layer 'stm': did you mean 'stem'\? model\.named_modules\(\)"):
        class_activation(network, images(), layer="stm")
    with pytest.raises(InputError, match="the class logits of Own do not depend on layer 'idle': name another layer"):
        class_activation(network, images(), layer="idle")
    with pytest.raises(
        InputError, match=r"layer 'classify' returns \(2, 3\), expected one map \(batch, channels, height"
    ):
        class_activation(network, images(), layer="classify")
    with pytest.raises(InputError, match="layer 'encoder' returns a list, expected one map"):
        class_activation(build_tiny("unet"), images(), layer="encoder")


# --- images ----------------------------------------------------------------------------------------------------------


def make_metadata(**arguments: object) -> CheckpointMetadata:
    return CheckpointMetadata(
        model="unet",
        arguments=arguments,
        class_names=("benign", "malignant", "normal"),
        input_size=SIZE,
        mean=(0.5,),
        std=(0.25,),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_sizes(channels: int, build_tiny: Build) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((50, 40), SIZE, (128, 200))]
    network = build_tiny("acsnet", in_channels=channels)
    metadata = make_metadata(in_channels=channels)
    heats = explain_images(network, metadata, pictures)
    assert [heat.shape for heat in heats] == [picture.shape[:2] for picture in pictures]
    assert all(heat.dtype == np.float32 and heat.min() >= 0 and 0.5 < heat.max() <= 1 for heat in heats)
    gray = cv2.cvtColor(pictures[1], cv2.COLOR_RGB2GRAY)[:, :, None] if channels == 1 else pictures[1]
    normalized = (torch.from_numpy(gray).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    np.testing.assert_allclose(heats[1], class_activation(network, normalized)[0], atol=1e-4)
    of_classes = [explain_images(network, metadata, pictures[:1], index)[0] for index in range(3)]
    assert not np.allclose(of_classes[0], of_classes[1])
    mixed = explain_images(network, metadata, pictures, torch.tensor([1, 0, 0]))
    np.testing.assert_allclose(mixed[0], of_classes[1], atol=1e-4)


def test_16_bit_weights_give_nearly_the_same_map(build_tiny: Build) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    exact = explain_images(build_tiny("acsnet"), make_metadata(), [picture], 1)[0]
    network = prepare_for_inference(build_tiny("acsnet"), torch.bfloat16)
    found = explain_images(network, make_metadata(), [picture], 1)[0]
    assert found.dtype == np.float32
    assert exact.std() > 0.05
    assert np.abs(found - exact).mean() < 0.02
    batch = images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = class_activation(build_tiny("acsnet"), batch, 1)
    assert cast.dtype == torch.float32
    assert (cast - class_activation(build_tiny("acsnet"), batch, 1)).abs().mean() < 0.02


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_the_map_of_a_cropped_image_is_that_of_the_crop(keep_aspect: bool, build_tiny: Build) -> None:
    crop = np.random.default_rng(0).integers(40, 256, (60, 90, 3), dtype=np.uint8)
    image = np.pad(crop, ((20, 10), (30, 0), (0, 0)))
    network = build_tiny("acsnet", in_channels=3)
    metadata = make_metadata(in_channels=3).model_copy(update={"crop_margins": True, "keep_aspect": keep_aspect})
    expected = np.pad(explain_images(network, metadata, [crop], 1)[0], ((20, 10), (30, 0)))
    np.testing.assert_array_equal(explain_images(network, metadata, [image], 1)[0], expected)
