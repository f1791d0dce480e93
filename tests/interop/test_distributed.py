"""Networks in DDP and FSDP2, in one process on the CPU: outputs and gradients of the plain network."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

import acsnet
from acsnet.losses import CrossEntropyLoss, DiceLoss, FixedWeighting, MultiTaskLoss

pytestmark = pytest.mark.slow


@pytest.fixture
def _one_process() -> Iterator[None]:
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("needs torch.distributed with gloo")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "unet":
        return acsnet.create_model("unet", width=4, depth=2)
    return acsnet.create_model("acsnet", encoder="mobilenetv3_small_050", widths=[16] * 5)


def step(network: nn.Module) -> tuple[acsnet.MultiTaskOutput, torch.Tensor]:
    """One training step: the output and the loss, after the backward pass."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator)
    masks = (torch.rand(4, 1, 64, 64, generator=generator) > 0.5).float()
    loss = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), FixedWeighting(0.7))
    output = network(images)
    total = loss(output, masks, torch.tensor([0, 1, 2, 1])).total
    total.backward()
    return output, total


def assert_same(plain: nn.Module, wrapped: nn.Module, inner: nn.Module) -> None:
    expected, expected_loss = step(plain)
    output, loss = step(wrapped)
    assert isinstance(output, acsnet.MultiTaskOutput)
    torch.testing.assert_close(output.mask, expected.mask)
    torch.testing.assert_close(output.label, expected.label)
    torch.testing.assert_close(loss, expected_loss)
    for (name, one), other in zip(inner.named_parameters(), plain.parameters(), strict=True):
        gradient = one.grad.full_tensor() if hasattr(one.grad, "full_tensor") else one.grad
        torch.testing.assert_close(gradient, other.grad, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("name", ["unet", "acsnet"])
def test_ddp(name: str) -> None:
    network = make(name)
    plain = copy.deepcopy(network)
    assert_same(plain, nn.parallel.DistributedDataParallel(network), network)


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize(("name", "by_child"), [("unet", True), ("unet", False), ("acsnet", False)])
def test_fsdp2(name: str, by_child: bool) -> None:
    """Blocks of ACSNet use weights after their forward pass, to save memory, so that it is sharded as one."""
    mesh = distributed.init_device_mesh("cpu", (1,))
    network = make(name)
    plain = copy.deepcopy(network)
    for child in network.children() if by_child else ():
        # Containers have no forward pass, which the sharding needs to gather weights.
        if not isinstance(child, nn.ModuleList | nn.ModuleDict):
            fully_shard(child, mesh=mesh)
    fully_shard(network, mesh=mesh)
    assert_same(plain, network, network)


@pytest.mark.usefixtures("_one_process")
def test_metrics_are_gathered() -> None:
    pytest.importorskip("torchmetrics", reason="needs torchmetrics")
    from acsnet.metrics.for_torchmetrics import SegmentationMetrics

    metric = SegmentationMetrics(distributed_available_fn=lambda: True)
    masks = torch.eye(16)[None].repeat(2, 1, 1)
    metric.update(masks, masks)
    assert metric.compute()["dice"] == 1
