"""Networks with the parts of the publication: the encoder from torchvision, the others with invented names."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import resnet18

import acsnet
from acsnet.errors import CheckpointError
from acsnet.models import ACSNet
from acsnet.models._convert_he2024 import import_acsnet_file, import_acsnet_weights

Tensors = dict[str, torch.Tensor]
Invoke = Callable[..., tuple[int, str, str]]

# Ours -> the publication's part, with inner names that nobody has used.
SUBSETS = {
    "gates.0.": "g1.", "gates.1.": "g2.", "gates.2.": "g3.", "gates.3.": "g4.", "gates.4.": "g5.",
    "decode3.1.": "sa1.", "decode2.1.": "sa2.",
    "decode3.0.": "conv5.", "decode2.0.": "conv4.", "decode1.": "conv3.", "decode0.": "conv2.",
    "join3.": "up1.", "join2.": "up2.", "join1.": "up3.", "join0.": "up4.",
    "seg_head.": "out.", "cls_head.": "classfer.",
}  # fmt: skip


def randomized(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) * 0.1 + 0.01)
    return network


def published_name(key: str) -> str:
    prefix = next(prefix for prefix in SUBSETS if key.startswith(prefix))
    inner = re.sub(r"(\d+|[a-z]+(?:_[a-z]+)?)\.", lambda found: f"x{found[1]}.", key.removeprefix(prefix))
    return SUBSETS[prefix] + inner


@pytest.fixture(scope="module")
def encoder() -> nn.ModuleList:
    """torchvision's ResNet-18 as a list of its five stages. Read-only."""
    whole = randomized(resnet18(weights=None), 1)
    stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu)
    first = nn.Sequential(whole.maxpool, whole.layer1)
    return nn.ModuleList([stem, first, whole.layer2, whole.layer3, whole.layer4]).eval()


@pytest.fixture(scope="module")
def source() -> ACSNet:
    """The network whose decoder is to be imported. Read-only."""
    return randomized(ACSNet(num_classes=2), 2).eval()


@pytest.fixture
def published(encoder: nn.ModuleList, source: ACSNet) -> Tensors:
    weights = {f"base.{key}": value for key, value in encoder.state_dict().items()}
    ours = source.state_dict().items()
    weights |= {published_name(key): value for key, value in ours if not key.startswith("encoder.")}
    return weights


def test_an_imported_network_computes_the_same(published: Tensors, encoder: nn.ModuleList, source: ACSNet) -> None:
    model = ACSNet(num_classes=2).eval()
    names = import_acsnet_weights(published, model)
    assert names.keys() == model.state_dict().keys()
    assert sorted(names.values()) == sorted(published)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, stage in zip(model.encoder(x), encoder, strict=True):
            x = stage(x)
            torch.testing.assert_close(ours, x)
        for key, value in source.state_dict().items():
            if not key.startswith("encoder."):
                assert torch.equal(model.state_dict()[key], value), key


def test_prefixes_numbering_and_shapes(published: Tensors, source: ACSNet) -> None:
    """Prefix of a wrapper, reversed numbering of parts, linear layers as 1x1 convolutions, no counters."""
    other = {"sa1": "sa2", "sa2": "sa1", "conv2": "conv5", "conv3": "conv4", "conv4": "conv3", "conv5": "conv2"}
    weights = {}
    for key, value in published.items():
        part, _, rest = key.partition(".")
        if rest.endswith("num_batches_tracked"):
            continue
        linear = value.ndim == 2
        weights[f"module.{other.get(part, part)}.{rest}"] = value[:, :, None, None] if linear else value
    model = ACSNet(num_classes=2)
    import_acsnet_weights(weights, model)
    for key, value in source.state_dict().items():
        if not key.startswith("encoder."):
            assert torch.equal(model.state_dict()[key], value), key


def moved(weights: Tensors, prefix: str, before: str) -> Tensors:
    """Declare the tensors of one layer before those of another."""
    layer = {key: value for key, value in weights.items() if key.startswith(prefix)}
    assert layer
    result: Tensors = {}
    for key, value in weights.items():
        if key.startswith(before):
            result |= layer
        if key not in layer:
            result[key] = value
    return result


def test_another_order_is_resolved_by_shapes(published: Tensors, source: ACSNet) -> None:
    """The convolution of the offsets is declared before the main weight."""
    weights = moved(published, "sa1.xgather.x0.xoffset.", "sa1.xgather.x0.weight")
    assert list(weights) != list(published)
    model = ACSNet(num_classes=2)
    import_acsnet_weights(weights, model)
    assert torch.equal(model.decode3[1].gather[0].offset.weight, source.decode3[1].gather[0].offset.weight)


def test_another_order_that_is_ambiguous(published: Tensors) -> None:
    """Both normalizations of an attention unit are declared before all other layers."""
    weights = moved(published, "sa1.xmerge.x1.", "sa1.xgather.x0.weight")
    model = ACSNet(num_classes=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        import_acsnet_weights(weights, model)
    assert str(caught.value) == (
        "the weights do not match ACSNet: the assignment of sa1.xmerge.x1, sa1.xgather.x1 to "
        "decode3.1.gather.1, decode3.1.merge.1 is ambiguous, since their shapes are equal and their order differs: "
        "set it by renamed"
    )
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    renamed = {"sa1.xmerge.x1": "decode3.1.merge.1"}
    names = import_acsnet_weights(weights, model, renamed=renamed)
    assert names["decode3.1.merge.1.weight"] == "sa1.xmerge.x1.weight"
    assert names["decode3.1.gather.1.weight"] == "sa1.xgather.x1.weight"


def test_layers_that_do_not_match_are_named(published: Tensors) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_acsnet_weights(published, ACSNet(num_classes=3))
    assert str(caught.value) == (
        "the weights do not match ACSNet: classfer has classfer.xclassify.x2 (weight (2, 640), bias (2,)) where "
        "cls_head has cls_head.classify.2 (weight (3, 640), bias (3,))"
    )
    smaller = {**published, "sa2.xaverage_map.weight": torch.zeros(1, 2, 3, 3)}
    with pytest.raises(
        CheckpointError, match=r"sa2\.xaverage_map belongs to no part .*no tensor matches decode2\.1\.av"
    ):
        import_acsnet_weights(smaller, ACSNet(num_classes=2))
    gone = {key: value for key, value in published.items() if not key.startswith("out.x1.")}
    with pytest.raises(
        CheckpointError, match=r"out has nothing where seg_head has seg_head\.1\.0 \(weight \(128,\), bias"
    ):
        import_acsnet_weights(gone, ACSNet(num_classes=2))


def test_extra_layers_are_named_and_can_be_ignored(published: Tensors) -> None:
    weights = {**published, "base_model.fc.weight": torch.zeros(1000, 512), "base.fc.weight": torch.zeros(1000, 512)}
    model = ACSNet(num_classes=2)
    message = (
        r"base has base\.fc \(weight \(1000, 512\)\) where encoder\.network has nothing; base_model\.fc belongs to no"
    )
    with pytest.raises(CheckpointError, match=message):
        import_acsnet_weights(weights, model)
    assert len(import_acsnet_weights(weights, model, ignore=["base_model.", "base.fc"])) == len(published)


def test_wrong_renamed_layers(published: Tensors) -> None:
    model = ACSNet(num_classes=2)
    with pytest.raises(CheckpointError, match=r"a cannot be assigned to out: there is no layer a"):
        import_acsnet_weights(published, model, renamed={"a": "out"})
    with pytest.raises(CheckpointError, match=r"out\.x0 cannot be assigned to a: there is no layer a"):
        import_acsnet_weights(published, model, renamed={"out.x0": "a"})
    message = (
        r"out\.x0 \(weight \(128, 128, 3, 3\), bias \(128,\)\) cannot be assigned to join3\.reduce\.0 \(weight \(256,"
    )
    with pytest.raises(CheckpointError, match=message):
        import_acsnet_weights(published, model, renamed={"out.x0": "join3.reduce.0"})


def test_a_file_becomes_a_checkpoint(published: Tensors, source: ACSNet, invoke: Invoke, tmp_path: Path) -> None:
    """Follows the instructions of the error; some tensors share memory."""
    published["sa2.xaverage_map.bias"] = published["sa2.xmaximum_map.bias"]
    theirs = tmp_path / "theirs.safetensors"
    save_file({key: value.clone() for key, value in published.items()}, theirs)
    assert list(load_file(theirs)) != list(published)
    with pytest.raises(CheckpointError) as caught:
        import_acsnet_file(theirs, tmp_path / "ours.safetensors", ["a", "b"])
    message = str(caught.value)
    assert message.startswith(f"{theirs} does not state the order in which its tensors were declared: convert ")
    theirs.unlink()
    torch.save(published, tmp_path / "theirs.pth")
    follow(message, tmp_path)
    out = tmp_path / "ours.safetensors"
    status, output, errors = invoke("import_weights", tmp_path / "theirs.safetensors", "--out", out, "--show")
    assert status == 0, errors
    assert "out.x0.weight -> seg_head.0.weight" in output.splitlines()
    model = acsnet.load_model(out)
    assert model.metadata.class_names == ("benign", "malignant")
    assert (model.metadata.input_size, model.metadata.mean, model.metadata.std) == ((256, 256), (0.33,), (0.204,))
    assert torch.equal(model.seg_head[0].weight, source.seg_head[0].weight)
    assert acsnet.Predictor.from_checkpoint(out).metadata.model == "acsnet"


def test_a_pickled_file_is_refused_with_instructions(tmp_path: Path, published: Tensors) -> None:
    path = tmp_path / "best model.pth"
    torch.save(published, path)
    for given in (path, path.rename(tmp_path / "renamed.safetensors")):
        with pytest.raises(CheckpointError) as caught:
            import_acsnet_file(given, tmp_path / "out.safetensors", ["a", "b"])
        message = str(caught.value)
        assert message.startswith(f"{given} is a pickled file, which can run arbitrary code and is never opened: ")
        assert "\n" not in message
    assert not (tmp_path / "out.safetensors").exists()


def follow(message: str, folder: Path) -> None:
    """Run the three lines of Python in an error message."""
    code = message.partition("three lines of Python: ")[2].split(" / ")
    assert len(code) == 3
    subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=folder, check=True)


def test_wrong_command_lines(invoke: Invoke, tmp_path: Path) -> None:
    status, _, errors = invoke("import_weights", "a.safetensors", "--out", tmp_path / "b", "--rename", "a")
    assert (status, "--rename takes THEIRS=OURS, got 'a'" in errors) == (2, True)
    status, _, errors = invoke("import_weights", tmp_path / "a.safetensors", "--out", tmp_path / "b.safetensors")
    assert (status, errors.startswith("error: there is no checkpoint ")) == (2, True)
