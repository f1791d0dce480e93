from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor

from acsnet import MultiTaskOutput, create_model
from acsnet.errors import InputError, UnknownNameError
from acsnet.models import ACSNet, MultiTaskModel
from acsnet.models._base import check_images, check_size

TINY: dict[str, Any] = {"encoder": "mobilenetv3_small_050", "widths": (16, 32, 16, 32, 48)}
Parameters = dict[str, torch.Tensor]


def build(**arguments: Any) -> ACSNet:
    torch.manual_seed(0)
    network = create_model("acsnet", **(TINY | arguments))
    assert isinstance(network, ACSNet)
    return network


def move(network: nn.Module) -> None:
    """Change all parameters from their initial values (those of offsets and modulations are zero)."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


# --- the wiring, against the publication's description ---------------------------------------------------------------


def conv(x: torch.Tensor, p: Parameters, name: str) -> torch.Tensor:
    weight = p[f"{name}.weight"]
    return functional.conv2d(x, weight, p[f"{name}.bias"], padding=weight.shape[-1] // 2)


def norm(x: torch.Tensor, p: Parameters, name: str, groups: int) -> torch.Tensor:
    return functional.group_norm(x, groups, p[f"{name}.weight"], p[f"{name}.bias"]).relu()


def conv_norm(x: torch.Tensor, p: Parameters, name: str, groups: int) -> torch.Tensor:
    return norm(conv(x, p, f"{name}.0"), p, f"{name}.1", groups)


def double(x: torch.Tensor, p: Parameters, name: str, groups: int) -> torch.Tensor:
    return conv_norm(conv_norm(x, p, f"{name}.0", groups), p, f"{name}.1", groups)


def up(x: torch.Tensor) -> torch.Tensor:
    size = (2 * x.shape[2], 2 * x.shape[3])
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)


def reference(network: ACSNet, images: torch.Tensor, groups: tuple[int, ...]) -> MultiTaskOutput:
    """The five decoder steps and the three inputs of the classifier; gates, attention and head are tested elsewhere.

    ``groups`` are those of the normalizations of steps 1 to 5.
    """
    p = dict(network.named_parameters())
    maps = network.encoder(images)
    for i, x in enumerate(maps):
        if f"adapters.{i}.0.weight" in p:
            maps[i] = conv(x, p, f"adapters.{i}.0").relu()
    gated = [network.gates[str(i)](x) for i, x in enumerate(maps)]

    def join(x: torch.Tensor, level: int) -> torch.Tensor:
        return torch.cat((up(conv(x, p, f"join{level}.reduce.0").relu()), gated[level]), dim=1)

    f1 = network.decode3[1](double(join(gated[4], 3), p, "decode3.0", groups[0]))
    d2 = network.decode2[1](double(join(f1, 2), p, "decode2.0", groups[1]))
    d1 = double(join(d2, 1), p, "decode1", groups[2])
    d0 = conv_norm(conv(join(d1, 0), p, "decode0.0").relu(), p, "decode0.2", groups[3])
    mask = conv(norm(conv(up(d0), p, "seg_head.0"), p, "seg_head.1.0", groups[4]), p, "seg_head.1.2")
    return MultiTaskOutput(mask, network.cls_head(maps[3], maps[4], f1))


@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        ({"encoder": "resnet18", "widths": (64, 64, 128, 256, 512)}, (16, 8, 4, 4, 4)),
        (TINY, (2, 1, 2, 1, 1)),
    ],
    ids=["published", "narrow, with adapters"],
)
def test_the_network_is_the_published_one(arguments: dict[str, Any], groups: tuple[int, ...]) -> None:
    network = build(**arguments).double().eval()
    move(network)
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.inference_mode():
        ours, theirs = network(images), reference(network, images, groups)
    assert theirs.mask.std() > 1e-3
    torch.testing.assert_close(ours.mask, theirs.mask, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.label, theirs.label, rtol=1e-9, atol=1e-9)
    assert ours.aux == ()


def test_published_widths_need_no_adapter() -> None:
    with torch.device("meta"):
        network = create_model("acsnet")
    assert not any(key.startswith("adapters.") for key in network.state_dict())
    assert network.encoder.channels == (64, 64, 128, 256, 512)


@pytest.mark.parametrize(("num_classes", "expected"), [(2, 31_824_945), (3, 31_824_945 + 641)])
def test_published_number_of_parameters(num_classes: int, expected: int) -> None:
    with torch.device("meta"):
        network = ACSNet(num_classes=num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["efficientnet_b0", "resnet34"])
def test_any_encoder_with_five_levels(encoder: str) -> None:
    network = build(encoder=encoder, widths=[16] * 5).train()
    output = network(torch.randn(2, 3, 64, 32))
    assert output.mask.shape == (2, 1, 64, 32)
    (output.mask.mean() + output.label.square().mean()).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("level", range(5))
def test_each_width_belongs_to_its_level(level: int) -> None:
    widths = [16] * 5
    widths[level] = 32
    network = build(widths=widths)
    assert [gate.merge[0].out_channels for gate in network.gates.values()] == widths
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 64, 64)).mask.shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    "widths", [[16] * 4, [16] * 6, [16, 16, 16, 16, 8], [16, 16, 24, 16, 16], [0] * 5, 64, "16161", [16.0] * 5, None]
)
def test_widths_have_to_be_five_multiples_of_16(widths: Any) -> None:
    with pytest.raises(InputError) as caught:
        build(widths=widths)
    assert str(caught.value) == f"widths is {widths!r}: expected five multiples of 16, finest first"


def test_all_deformable_convolutions_use_the_backend() -> None:
    network = build(backend="torchvision")
    backends = [module.backend for module in network.modules() if hasattr(module, "backend")]
    assert backends == ["torchvision"] * 4
    with pytest.raises(UnknownNameError, match="unknown deformable convolution backend 'xyz'"):
        build(backend="xyz")


def test_classification_alone_has_two_gates_and_one_decoder_level() -> None:
    network = build(tasks=["classification"])
    assert list(network.gates) == ["3", "4"]
    assert not hasattr(network, "join2")


def test_the_largest_maps_that_are_cheap_to_compute_are_recomputed() -> None:
    network = build()
    kept = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape == (2, 32, 32, 32):
            kept.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.randn(2, 3, 64, 64))
    # Of decode0 what goes into its normalization and what comes out, not the joined map and not the mixed one.
    assert len(kept) == 2


def test_a_single_task_has_the_same_output_as_with_both() -> None:
    both = build().eval()
    images = torch.randn(1, 3, 64, 64)
    for task, field in (("segmentation", "mask"), ("classification", "label")):
        single = build(tasks=[task]).eval()
        single.load_state_dict({key: both.state_dict()[key] for key in single.state_dict()})
        with torch.inference_mode():
            assert torch.equal(getattr(single(images), field), getattr(both(images), field))


# --- compilation, export, precision ----------------------------------------------------------------------------------


def assert_same(ours: MultiTaskOutput, theirs: MultiTaskOutput) -> None:
    torch.testing.assert_close(ours.mask, theirs.mask, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.label, theirs.label, rtol=1e-4, atol=1e-4)


# Few layers: tracing takes its time for each.
SHALLOW = "resnet18"


def test_compiled_as_one_graph() -> None:
    network = build(encoder=SHALLOW).eval()
    move(network)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    images = torch.randn(1, 3, 32, 64)
    with torch.inference_mode():
        assert_same(compiled(images), network(images))


def test_exported() -> None:
    network = build(encoder=SHALLOW).eval()
    move(network)
    images = torch.randn(1, 3, 32, 64)
    exported = torch.export.export(network, (images,)).module()
    other = torch.randn(1, 3, 32, 64)
    with torch.inference_mode():
        assert_same(exported(other), network(other))


def test_features_are_extracted_by_torch_fx() -> None:
    network = build(encoder=SHALLOW).eval()
    images = torch.randn(1, 3, 32, 64)
    extractor = create_feature_extractor(network, ["decode0", "seg_head"])
    with torch.inference_mode():
        found = extractor(images)
        torch.testing.assert_close(found["seg_head"], network(images).mask, rtol=1e-4, atol=1e-4)
    assert found["decode0"].shape == (1, 32, 16, 32)


def test_bfloat16_autocast_is_near_float32() -> None:
    network = build().eval()
    move(network)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(images)
    for name in ("mask", "label"):
        expected, found = getattr(exact, name), getattr(rough, name).float()
        difference = (found - expected).abs().max()
        assert 0 < difference < 0.2 * expected.std(), "autocast was on, and changed little"


def test_channels_last_is_the_same() -> None:
    network = build().eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = network(images)
        network.to(memory_format=torch.channels_last)
        assert_same(network(images.to(memory_format=torch.channels_last)), expected)


# --- the base --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", ["segmentation", ["segmentatoin"], []])
def test_networks_built_without_the_registry_check_their_tasks_too(tasks: Any) -> None:
    with pytest.raises((InputError, UnknownNameError), match=r"tasks is |unknown task 'segmentatoin'"):
        ACSNet(tasks=tasks)


def test_a_network_must_define_forward_tasks() -> None:
    with pytest.raises(TypeError, match=r"abstract.*forward_tasks"):
        MultiTaskModel(3, 3, ["segmentation"])  # type: ignore[abstract]


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 3, 64, 64), (64,)])
def test_rank(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        check_images(torch.zeros(shape), 3, 32)
    assert str(caught.value) == f"images have shape {shape}: expected (batch, 3, height, width)"


def test_channels() -> None:
    with pytest.raises(InputError, match=r"images have 1 channels, but the network was built with in_channels=3$"):
        check_images(torch.zeros(1, 1, 64, 64), 3, 32)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integer_images_are_refused(dtype: torch.dtype) -> None:
    message = rf"^expected images of a floating-point type, got {dtype}: divide by 255 and normalize first$"
    with pytest.raises(InputError, match=message):
        check_images(torch.zeros(1, 3, 64, 64, dtype=dtype), 3, 32)
    for floating in (torch.float16, torch.bfloat16, torch.float64):
        check_images(torch.zeros(1, 3, 64, 64, dtype=floating), 3, 32)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((65, 64), (64, 64)),
        ((96, 63), (96, 64)),
        ((81, 64), (96, 64)),
        ((79, 64), (64, 64)),
        ((5, 1000), (32, 992)),
        ((0, 64), (32, 64)),
    ],
)
def test_sizes(size: tuple[int, int], nearest: tuple[int, int]) -> None:
    with pytest.raises(InputError) as caught:
        check_size(size, 32)
    assert str(caught.value) == (
        f"images are {size[0]}x{size[1]} (height x width), but the network needs multiples of 32; "
        f"the nearest valid size is {nearest[0]}x{nearest[1]}"
    )
    check_size(nearest, 32)
