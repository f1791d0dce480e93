"""Tests of all networks of the zoo, parametrized on the registry, so that none is missed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from acsnet import MultiTaskModel, MultiTaskOutput, list_models, load_model
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.errors import InputError
from acsnet.losses import CrossEntropyLoss, DiceLoss, FixedWeighting, MultiTaskLoss
from acsnet.models import TASKS, EncoderDecoder, TwoNetworks, model_entry


def load_script() -> Any:
    """Import the script next to this file, which is not in a package."""
    specification = importlib.util.spec_from_file_location("snapshots", Path(__file__).parent / "update_snapshots.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


script = load_script()
build_tiny = script.build_tiny
NAMES = list_models()


every_network = pytest.mark.parametrize("name", script.distinct_names())
every_name = pytest.mark.parametrize("name", NAMES)
SIZE = (64, 96)


def images(batch: int = 2, channels: int = 3, size: tuple[int, int] = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, *size, generator=generator)


def run(network: nn.Module, batch: torch.Tensor) -> MultiTaskOutput:
    with torch.inference_mode():
        return network.eval()(batch)


def keys(network: nn.Module) -> set[str]:
    return set(network.state_dict())


def parts(network: nn.Module) -> set[str]:
    """Names of the modules, those of both networks of ``two_networks`` without the names of the networks."""
    return {part for key in keys(network) for part in key.split(".")}


def gradients(network: nn.Module, *outputs: torch.Tensor) -> dict[str, torch.Tensor | None]:
    network.zero_grad()
    torch.stack([output.square().mean() for output in outputs]).sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


# --- the output ------------------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("size", [(64, 64), SIZE])
def test_output_has_the_shapes_of_the_contract(name: str, size: tuple[int, int]) -> None:
    network = build_tiny(name, num_classes=4)
    assert isinstance(network, MultiTaskModel)
    for training in (True, False):
        output = network.train(training)(images(size=size))
        assert type(output) is MultiTaskOutput
        assert output.mask.shape == (2, 1, *size)
        assert output.label.shape == (2, 4)
        assert isinstance(output.aux, tuple)
        assert all(mask.ndim == 4 and mask.shape[:2] == (2, 1) for mask in output.aux)
        for tensor in (output.mask, output.label, *output.aux):
            assert tensor.dtype == torch.float32
            assert tensor.isfinite().all()


@every_network
def test_the_output_of_an_image_does_not_depend_on_the_batch(name: str) -> None:
    network = build_tiny(name)
    batch = images(3)
    whole, single = run(network, batch), run(network, batch[1:2])
    torch.testing.assert_close(single.mask, whole.mask[1:2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(single.label, whole.label[1:2], rtol=1e-3, atol=1e-4)


@every_network
def test_evaluation_is_deterministic_and_changes_nothing(name: str) -> None:
    network = build_tiny(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    batch = images()
    given = batch.clone()
    first, second = run(network, batch), run(network, batch)
    assert torch.equal(first.mask, second.mask)
    assert torch.equal(first.label, second.label)
    assert torch.equal(batch, given), "the images are the caller's"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_network
def test_the_outputs_depend_on_the_image(name: str) -> None:
    network = script.fill(build_tiny(name))
    output = network(images())  # in training mode, where no mask is blackened
    assert not torch.allclose(output.label[0], output.label[1])
    assert not torch.allclose(output.mask[0], output.mask[1])
    assert output.mask[0].std() > 1e-4


@every_network
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    first, second = build_tiny(name).state_dict(), build_tiny(name).state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


# --- gradients -------------------------------------------------------------------------------------------------------


@every_network
def test_every_parameter_learns_from_the_sum_of_both_losses(name: str) -> None:
    network = build_tiny(name).train()
    output = network(images())
    found = gradients(network, output.mask, output.label, *output.aux)
    assert [key for key, gradient in found.items() if gradient is None] == []
    assert [key for key, gradient in found.items() if gradient is not None and not gradient.isfinite().all()] == []
    assert [key for key, gradient in found.items() if gradient is not None and not gradient.any()] == []


@pytest.mark.parametrize(
    "name", [name for name in script.distinct_names() if model_entry(name).builder is not TwoNetworks]
)
@pytest.mark.parametrize("field", ["mask", "label"])
def test_each_loss_alone_reaches_the_encoder(name: str, field: str) -> None:
    network = build_tiny(name).train()
    found = gradients(network, getattr(network(images()), field))
    encoder = {key: gradient for key, gradient in found.items() if key.startswith("encoder.")}
    assert encoder, "the shared part is named encoder"
    missed = [key for key, gradient in encoder.items() if gradient is None or not gradient.any()]
    assert missed == [], f"{field} does not reach them"


@every_network
def test_two_steps_on_one_batch_lower_the_loss(name: str) -> None:
    network = build_tiny(name).train()
    criterion = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), FixedWeighting(0.5), "harmonic")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    batch, mask, label = images(4), torch.zeros(4, 1, *SIZE), torch.tensor([0, 1, 2, 1])
    mask[:3, :, 16:40, 16:64] = 1
    losses = []
    for _ in range(3):
        # The same dropout each time, so that the weights alone make the difference.
        torch.manual_seed(0)
        loss = criterion(network(batch), mask, label).total
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[0]


# --- precision and compilers -----------------------------------------------------------------------------------------


def assert_near(ours: MultiTaskOutput, theirs: MultiTaskOutput, relative: float) -> None:
    """Compare probabilities, which users see, instead of logits."""
    assert (ours.mask.float().sigmoid() - theirs.mask.sigmoid()).abs().max() < relative
    assert (ours.label.float().softmax(1) - theirs.label.softmax(1)).abs().max() < relative


@every_network
def test_bfloat16_autocast_is_near_float32(name: str) -> None:
    network = build_tiny(name)
    expected = run(network, images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_near(run(network, images()), expected, 0.05)


@every_network
def test_exported_with_any_batch(name: str) -> None:
    network = build_tiny(name).eval()
    shapes = {"images": {0: torch.export.Dim("batch", min=1, max=64)}}
    exported = torch.export.export(network, (images(),), dynamic_shapes=shapes).module()
    with torch.inference_mode():
        assert_near(exported(images(3)), network(images(3)), 1e-4)


def compile_whole(name: str, backend: str) -> None:
    """Compile in one graph, for inference and for training, and compare with the network itself."""
    torch.compiler.reset()
    for training in (False, True):
        network, twin = (build_tiny(name).train(training) for _ in range(2))
        compiled = torch.compile(twin, fullgraph=True, backend=backend)
        torch.manual_seed(0)
        expected = network(images())
        torch.manual_seed(0)
        found = compiled(images())
        assert len(found.aux) == len(expected.aux)
        if not training:
            assert_near(found, expected, 1e-4)
        torch.stack([found.mask.mean(), found.label.mean()]).sum().backward()


@every_network
def test_compiled_in_one_graph(name: str) -> None:
    compile_whole(name, "eager")


@pytest.mark.slow
@every_network
def test_compiled_by_inductor(name: str) -> None:
    compile_whole(name, "inductor")


# --- tasks -----------------------------------------------------------------------------------------------------------


@every_network
def test_the_parts_of_a_missing_task_are_not_built(name: str) -> None:
    both = build_tiny(name)
    masks, labels = (build_tiny(name, tasks=[task]) for task in TASKS)
    more = keys(masks) | keys(labels)
    if isinstance(both, EncoderDecoder):
        # Classification alone has the last convolutions of the classification network.
        more = {key for key in more if not key.startswith("encoder.network.conv_head.")}
    assert more == keys(both), "the parts have the same names"
    for single in (masks, labels):
        assert keys(single) & more < keys(both)
        shared = sum(parameter.numel() for key, parameter in single.named_parameters() if key in more)
        assert shared < sum(parameter.numel() for parameter in both.parameters())
    assert "seg_head" in parts(masks)
    assert "cls_head" in parts(labels)
    assert "cls_head" not in parts(masks)
    assert not {"seg_head", "aux_heads"} & parts(labels)
    mask_output, label_output = run(masks, images()), run(labels, images())
    assert (mask_output.label, label_output.mask, label_output.aux) == (None, None, ())
    assert mask_output.mask.shape == (2, 1, *SIZE)
    assert label_output.label.shape == (2, 3)


@every_network
@pytest.mark.parametrize("task", TASKS)
def test_all_parameters_of_a_single_task_have_a_gradient(name: str, task: str) -> None:
    network = build_tiny(name, tasks=[task]).train()
    output = network(images())
    outputs = [tensor for tensor in (output.mask, output.label, *output.aux) if tensor is not None]
    assert [key for key, gradient in gradients(network, *outputs).items() if gradient is None] == []


# --- channels, sizes and other input ---------------------------------------------------------------------------------


@every_network
def test_one_input_channel(name: str) -> None:
    network = build_tiny(name, in_channels=1)
    output = run(network, images(1, channels=1))
    assert output.mask.shape == (1, 1, *SIZE)
    with pytest.raises(InputError, match="images have 3 channels, but the network was built with in_channels=1"):
        network(images())


@every_network
def test_invalid_sizes_are_refused_with_the_nearest_valid_one(name: str) -> None:
    network = build_tiny(name)
    divisor = network.divisor
    with pytest.raises(InputError) as caught:
        network(torch.zeros(1, 3, 4 * divisor + 1, 3 * divisor - 1))
    assert str(caught.value) == (
        f"images are {4 * divisor + 1}x{3 * divisor - 1} (height x width), but the network "
        f"needs multiples of {divisor}; the nearest valid size is {4 * divisor}x{3 * divisor}"
    )
    assert run(network, torch.zeros(1, 3, 4 * divisor, 3 * divisor)).mask.shape[2:] == (4 * divisor, 3 * divisor)


@every_network
def test_other_ranks_and_dtypes_are_refused(name: str) -> None:
    network = build_tiny(name)
    with pytest.raises(InputError, match=r"images have shape \(3, 64, 96\): expected \(batch, 3, height, width\)"):
        network(images()[0])
    with pytest.raises(InputError, match=r"expected images of a floating-point type, got torch\.uint8: divide by 255"):
        network(torch.zeros(1, 3, *SIZE, dtype=torch.uint8))


# --- checkpoints and snapshots ---------------------------------------------------------------------------------------


@every_network
def test_a_checkpoint_rebuilds_the_network(name: str, tmp_path: Path) -> None:
    network = build_tiny(name)
    network(images())  # moves the averages of normalizations from where they start
    metadata = CheckpointMetadata(
        model=name,
        arguments=script.tiny_arguments(name),
        class_names=("benign", "malignant", "normal"),
        input_size=SIZE,
        mean=(0.33,),
        std=(0.204,),
    )
    save_checkpoint(tmp_path / "a.safetensors", network.state_dict(), metadata)
    ours, theirs = run(load_model(tmp_path / "a.safetensors"), images()), run(network, images())
    assert torch.equal(ours.mask, theirs.mask)
    assert torch.equal(ours.label, theirs.label)


@every_name
def test_state_dict_and_results_are_those_of_the_snapshot(name: str) -> None:
    """Existing checkpoints can still be loaded, and a tiny network has the same logits as before."""
    advice = f"if this is intended, run: {script.SCRIPT} {name}"
    path = script.SNAPSHOTS / f"{name}.json"
    assert path.is_file(), f"{name} has no snapshot; {advice}"
    old, new = json.loads(path.read_text(encoding="utf-8")), script.snapshot(name)
    gone, more = old["shapes"].keys() - new["shapes"].keys(), new["shapes"].keys() - old["shapes"].keys()
    assert not gone | more, f"{name}: keys gone {sorted(gone)[:5]}, new {sorted(more)[:5]}; {advice}"
    other = [key for key, shape in old["shapes"].items() if new["shapes"][key] != shape]
    assert not other, f"{name}: other shapes of {other[:5]}; {advice}"
    for field in ("label", "mask"):
        expected, found = torch.tensor(old[field]), torch.tensor(new[field])
        message = f"{name}: other {field} logits; {advice}"
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4, msg=lambda text: f"{message}\n{text}")  # noqa: B023


def test_every_snapshot_is_of_a_registered_network() -> None:
    assert sorted(path.stem for path in script.SNAPSHOTS.glob("*.json")) == NAMES, f"run: {script.SCRIPT}"


def test_every_tiny_entry_is_of_a_registered_network() -> None:
    assert sorted(script.TINY) == NAMES
    with pytest.raises(AssertionError, match=r"new_network is registered, but TINY in .* has no entry for it"):
        script.tiny_arguments("new_network")
