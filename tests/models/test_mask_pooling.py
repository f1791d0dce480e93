"""The option ``mask_pooling`` of every network: shapes, gradients, errors, Grad-CAM, export."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import acsnet
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.errors import InputError
from acsnet.export import ProbabilityNetwork, export_checkpoint
from acsnet.inference import class_activation
from acsnet.layers import GlobalAverage, MaskWeightedAverage

Build = Callable[..., Any]
SIZE = (64, 96)
# One name per class of networks and decoder; two_networks has no network with both tasks.
NAMES = [
    "acsnet",
    "unet",
    "gated_unet",
    "unetpp",
    "unetpp_refined",
    "unetpp_lesion_weighted",
    "mt_nnunet",
    "mt_unetpp",
    "efficientnet_cbam",
    "unet_resnet50",
    "unetpp_resnet50",
    "fpn_resnet50",
    "deeplabv3plus_resnet50",
    "unet_efficientnet_b4",
]
every_network = pytest.mark.parametrize("name", NAMES)


def images(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def pools(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, GlobalAverage)]


def test_every_network_of_the_zoo_supports_it_except_two_networks() -> None:
    builders = {acsnet.models.model_entry(name).builder for name in acsnet.list_models()}
    supporting = {acsnet.models.model_entry(name).builder for name in NAMES}
    assert builders - supporting == {acsnet.models.TwoNetworks}
    assert all(builder.supports_mask_pooling for builder in supporting)  # type: ignore[attr-defined]


@every_network
def test_only_the_first_layer_of_the_classifier_changes(name: str, build_tiny: Build) -> None:
    plain, pooling = build_tiny(name), build_tiny(name, mask_pooling=True)
    assert [type(pool) for pool in pools(plain)] == [GlobalAverage]
    assert [type(pool) for pool in pools(pooling)] == [MaskWeightedAverage]
    before = {key: value.shape for key, value in plain.state_dict().items()}
    after = {key: value.shape for key, value in pooling.state_dict().items()}
    assert before.keys() == after.keys()
    changed = [key for key in before if before[key] != after[key]]
    assert len(changed) == 1
    assert changed[0].startswith("cls_head.")
    (rows, columns), wider = before[changed[0]], after[changed[0]]
    assert wider == (rows, 2 * columns)


@every_network
def test_a_classifier_without_weights_for_the_mask_is_the_plain_one(name: str, build_tiny: Build) -> None:
    plain, pooling = build_tiny(name).eval(), build_tiny(name, mask_pooling=True).eval()
    weights = plain.state_dict()
    for key, value in pooling.state_dict().items():
        if value.shape != weights[key].shape:
            weights[key] = torch.cat((weights[key], torch.zeros_like(weights[key])), dim=1)
    pooling.load_state_dict(weights)
    with torch.inference_mode():
        expected, found = plain(images()), pooling(images())
    torch.testing.assert_close(found.label, expected.label)
    assert torch.equal(found.mask, expected.mask)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the gradient of the class logits for each parameter."""
    network.zero_grad()
    network(images()).label.square().sum().backward()
    return {key: value.grad for key, value in network.named_parameters() if value.grad is not None}


@every_network
def test_the_class_loss_reaches_the_mask_head_only_if_asked(name: str, build_tiny: Build) -> None:
    for mask_gradient in (False, True):
        network = build_tiny(name, mask_pooling=True, mask_pooling_gradient=mask_gradient).train()
        found = [key for key, value in weights_of(network).items() if key.startswith("seg_head.") and value.any()]
        assert bool(found) == mask_gradient


@every_network
def test_grad_cam_weights_the_pooled_maps_only(name: str, build_tiny: Build) -> None:
    network = build_tiny(name, mask_pooling=True)
    maps = class_activation(network, images(), 1)
    assert maps.shape == (2, *SIZE)
    assert maps.isfinite().all()
    assert (maps >= 0).all()
    captured: list[tuple[torch.Size, ...]] = []
    (pool,) = pools(network)
    pool.register_forward_pre_hook(lambda _, inputs: captured.append(tuple(one.shape for one in inputs)))
    class_activation(network, images(), 1)
    assert all(shape[1] > 1 for shape in captured[0]), "the mask is not one of the maps"


def test_grad_cam_by_hand() -> None:
    """One channel is evidence within the mask, the other over the whole image."""

    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = MaskWeightedAverage([1])

        def forward(self, x: torch.Tensor) -> acsnet.MultiTaskOutput:
            maps = torch.tensor([[[[4.0, 1.0]], [[0.0, 3.0]]]])
            mask = torch.tensor([[[[99.0, -99.0]]]])
            # The averages: two of the whole image, two of the mask.
            return acsnet.MultiTaskOutput(mask, self.pool(maps, mask=mask) @ torch.tensor([[0.0], [2.0], [1.0], [0.0]]))

    # The weights of the channels, summed over positions, are 1 and 2.
    found = class_activation(Given(), torch.zeros(1, 3, 1, 2), 0)
    torch.testing.assert_close(found, torch.tensor([[[4.0, 7.0]]]) / 7)


@every_network
def test_bfloat16_autocast_is_near_float32(name: str, build_tiny: Build) -> None:
    network = build_tiny(name, mask_pooling=True).eval()
    with torch.inference_mode():
        expected = network(images()).label
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(images()).label
    assert (found.float().softmax(1) - expected.softmax(1)).abs().max() < 0.05


@pytest.mark.parametrize("name", ["acsnet", "unet", "unet_efficientnet_b4", "efficientnet_cbam"])
def test_exported_with_any_batch(name: str, build_tiny: Build) -> None:
    network = build_tiny(name, mask_pooling=True).eval()
    shapes = {"images": {0: torch.export.Dim("batch", min=1, max=64)}}
    exported = torch.export.export(network, (images(),), dynamic_shapes=shapes).module()
    with torch.inference_mode():
        torch.testing.assert_close(exported(images(3)).label, network(images(3)).label, rtol=1e-4, atol=1e-5)


def test_compiled_in_one_graph(build_tiny: Build) -> None:
    torch.compiler.reset()
    network = build_tiny("unet", mask_pooling=True).eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(images()).label, network(images()).label)


def test_traced_to_torchscript(build_tiny: Build) -> None:
    network = ProbabilityNetwork(build_tiny("unet", mask_pooling=True)).eval().requires_grad_(False)
    with warnings.catch_warnings():
        # torch.jit is deprecated, and tracing warns of the checks of sizes.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, images(), strict=False)
    found, expected = traced(images(3)), network(images(3))
    torch.testing.assert_close(found["classes"], expected["classes"])


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_exported_to_a_file_for_any_batch_and_size(format: str, tmp_path: Path, build_tiny: Build) -> None:
    if format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    arguments = {"width": 4, "depth": 2, "mask_pooling": True}
    network = acsnet.create_model("unet", **arguments)
    metadata = CheckpointMetadata(
        model="unet",
        arguments=arguments,
        class_names=("benign", "malignant", "normal"),
        input_size=(32, 48),
        mean=(0.3,),
        std=(0.2,),
    )
    save_checkpoint(tmp_path / "a.safetensors", network.state_dict(), metadata)
    assert isinstance(acsnet.load_model(tmp_path / "a.safetensors").cls_head.pool, MaskWeightedAverage)
    # The export compares the file with the network at several batch sizes and image sizes.
    result = export_checkpoint(tmp_path / "a.safetensors", format)
    assert result.dynamic == ("batch", "height", "width")


# --- errors ----------------------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("task", acsnet.models.TASKS)
def test_a_single_task(name: str, task: str, build_tiny: Build) -> None:
    message = (
        rf"mask_pooling is true, but tasks is \['{task}'\]: pooling the class features by the predicted mask needs "
        "both tasks, segmentation and classification$"
    )
    with pytest.raises(InputError, match=message):
        build_tiny(name, tasks=[task], mask_pooling=True)


def test_two_networks(build_tiny: Build) -> None:
    message = "mask_pooling is true: TwoNetworks does not pool its class features by the mask; omit it"
    with pytest.raises(InputError, match=message):
        build_tiny("two_networks", mask_pooling=True)
    with pytest.raises(InputError, match="needs both tasks"):
        acsnet.create_model("two_networks", network="unet", arguments={"mask_pooling": True})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask_pooling": "yes"}, "mask_pooling is 'yes': expected true or false"),
        ({"mask_pooling": True, "mask_pooling_gradient": 1}, "mask_pooling_gradient is 1: expected true or false"),
        ({"mask_pooling_gradient": True}, "mask_pooling_gradient is true, but mask_pooling is false: set mask_pooling"),
    ],
)
def test_invalid_values(arguments: dict[str, Any], message: str, build_tiny: Build) -> None:
    with pytest.raises(InputError, match=message):
        build_tiny("unet", **arguments)
