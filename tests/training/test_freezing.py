import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from acsnet import create_model
from acsnet.config import FreezeConfig, build_config
from acsnet.errors import ConfigError, UnknownNameError
from acsnet.training import Trainer, prepare_training
from acsnet.training.freezing import Freezing

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {"name": "unet", "arguments": {"width": 4, "depth": 2}}
ENCODER = {"names": ["encoder.*"]}


def network_of(name: str = "unet", **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, **(arguments or SMALL["arguments"]))


def frozen(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


def batch_norms(network: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


# --- which parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("encoder.*",), lambda name: name.startswith("encoder.")),
        (("encoder",), lambda name: name.startswith("encoder.")),
        (("encoder.levels.[01]",), lambda name: name.startswith(("encoder.levels.0.", "encoder.levels.1."))),
        (("*.bias",), lambda name: name.endswith(".bias")),
        (("seg_head.weight", "cls_head"), lambda name: name == "seg_head.weight" or name.startswith("cls_head.")),
    ],
)
def test_patterns_name_parameters_or_modules(patterns: tuple[str, ...], expected: Any) -> None:
    network = network_of().train()
    Freezing(network, FreezeConfig(names=patterns)).start_epoch(0)
    assert frozen(network) == {name for name, _ in network.named_parameters() if expected(name)}
    assert frozen(network)
    whole = [path for path, norm in batch_norms(network).items() if not any(p.requires_grad for p in norm.parameters())]
    assert [path for path, norm in batch_norms(network).items() if not norm.training] == whole
    assert all(module.training for module in network.modules() if not isinstance(module, nn.BatchNorm2d))


def test_nothing_is_frozen_by_default() -> None:
    network = network_of().train()
    freezing = Freezing(network, None)
    freezing.start_epoch(0)
    assert (freezing.count, frozen(network)) == (0, set())
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("encodr.*", r"did you mean 'encoder\.\*' or 'encoder"),
        ("encoder.level.0", r"did you mean 'encoder\.levels\.0"),
        ("sg_head", "did you mean 'seg_head'"),
        ("Encoder.*", r"did you mean 'encoder\.\*'"),
        ("xyz", "the network has encoder, decoder, seg_head, cls_head"),
    ],
)
def test_a_pattern_without_a_match_is_an_error(pattern: str, near: str) -> None:
    message = rf"unknown parameters in training\.freeze\.names '.*': {near}"
    with pytest.raises(UnknownNameError, match=message):
        Freezing(network_of(), FreezeConfig(names=("encoder", pattern)))


@pytest.mark.parametrize("patterns", [("*",), ("encoder", "decoder", "*_head.*"), ("*.weight", "*.bias")])
def test_something_has_to_be_left(patterns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="which freezes every parameter: leave some to train"):
        Freezing(network_of(), FreezeConfig(names=patterns, epochs=2))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("acsnet", {"encoder": "mobilenetv3_small_050", "widths": [16] * 5}),
        ("fpn_resnet50", {"encoder": "mobilenetv3_small_050", "decoder_channels": [16, 32]}),
        ("mt_unetpp", {"widths": [4] * 6}),
    ],
)
@pytest.mark.parametrize("pattern", ["encoder.*", "*decod*", "cls_head"])
def test_all_others_still_learn(name: str, arguments: dict[str, Any], pattern: str) -> None:
    """Also those of layers that compute their input again in the backward pass."""
    network = network_of(name, **arguments).train()
    if pattern == "*decod*" and name == "mt_unetpp":
        pattern = "nodes"
    Freezing(network, FreezeConfig(names=(pattern,)))
    output = network(torch.randn(2, 3, 64, 64))
    torch.stack([x.square().mean() for x in (output.mask, output.label, *output.aux)]).sum().backward()
    assert {key for key, parameter in network.named_parameters() if parameter.grad is None} == frozen(network)
    assert frozen(network)


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several_processes", [False, True])
def test_gradients_come_back(several_processes: bool) -> None:
    network = network_of()
    freezing = Freezing(network, FreezeConfig(names=("encoder",), epochs=2), several_processes)
    learned = []
    for epoch in range(4):
        network.train()
        freezing.start_epoch(epoch)
        assert bool(frozen(network)) == (epoch < 2 and not several_processes)
        network(torch.randn(2, 3, 32, 32)).mask.mean().backward()
        freezing.drop_gradients()
        learned.append({name for name, parameter in network.named_parameters() if parameter.grad is not None})
        network.zero_grad(set_to_none=True)
    assert [any(name.startswith("encoder.") for name in names) for names in learned] == [False, False, True, True]
    assert all("seg_head.weight" in names for names in learned)
    forever = network_of()
    Freezing(forever, FreezeConfig(names=("encoder",)), several_processes)
    assert frozen(forever), "before the network is shared"


# --- trainings -------------------------------------------------------------------------------------------------------


def settings_of(tiny_settings: Mapping[str, Any], **training: Any) -> dict[str, Any]:
    return {
        **tiny_settings,
        "model": SMALL,
        "data": {**tiny_settings["data"], "image_size": [32, 32]},
        "training": {**tiny_settings["training"], "panel_every": 99, **training},
    }


def load_last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.pt", weights_only=True)


def assert_same(first: Any, second: Any) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, Mapping):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


class Killed(Exception):
    """Ends a training in the middle."""


@pytest.mark.parametrize("killed_in", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_unfreezes_at_the_same_epoch(
    killed_in: int, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    """With a moving average and an uncertainty weighting, bit for bit, also in the state of the optimizer."""
    settings = settings_of(tiny_settings, epochs=3, ema_decay=0.9, freeze={**ENCODER, "epochs": 2})
    settings |= {"loss": {"weighting": "uncertainty"}, "optimizer": {"name": "adamw", "layer_decay": 0.5}}
    config = build_config(settings, (), "test")
    start = {key: value.clone() for key, value in prepare_training(config, progress=False).network.state_dict().items()}
    states = []

    def record(_: Any) -> None:
        states.append({key: value.clone() for key, value in trainer.network.state_dict().items()})

    trainer = Trainer.from_config(config, tmp_path / "whole", progress=False)
    trainer.fit(record)
    encoder = [key for key in start if key.startswith("encoder.")]
    for frozen_state in states[:2]:
        assert all(torch.equal(frozen_state[key], start[key]) for key in encoder), "running statistics as well"
        assert not torch.equal(frozen_state["seg_head.weight"], start["seg_head.weight"])
    changed = [key for key in encoder if not torch.equal(states[2][key], start[key])]
    assert len(changed) == len(encoder)

    def kill(row: Mapping[str, Any]) -> None:
        if row["epoch"] == killed_in + 1:
            raise Killed

    with pytest.raises(Killed):
        Trainer.from_config(config, tmp_path / "killed", progress=False).fit(kill)
    assert load_last(tmp_path / "killed")["epoch"] == killed_in
    Trainer.from_config(config, tmp_path / "killed", resume=True, progress=False).fit()
    whole, resumed = load_last(tmp_path / "whole"), load_last(tmp_path / "killed")
    for part in ("network", "ema", "loss", "optimizer", "schedule"):
        assert_same(whole[part], resumed[part])


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [None, 1])
def test_two_processes(epochs: int | None, tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_of(tiny_settings, epochs=2, freeze={**ENCODER, "epochs": epochs})
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings))
    start = prepare_training(build_config(settings, (), "test"), progress=False).network.state_dict()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29619"]
    command += [str(REPOSITORY / "tools" / "train.py"), str(config), "--work-dir", str(tmp_path / "two")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr
    end = load_last(tmp_path / "two")["network"]
    same = [key for key, value in start.items() if key.startswith("encoder.") and torch.equal(end[key], value)]
    assert len(same) == (0 if epochs else len([key for key in start if key.startswith("encoder.")]))
    assert not torch.equal(end["seg_head.weight"], start["seg_head.weight"])


def test_mistakes_are_found_before_the_images_are_decoded(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    for keys in (
        {"training": {**tiny_settings["training"], "freeze": {"names": ["encodr"]}}},
        {"optimizer": {"rates": {"encodr": 0.1}}},
    ):
        settings = {**settings_of(tiny_settings), **keys}
        settings["data"] = {**settings["data"], "root": str(tmp_path / "nowhere")}
        with pytest.raises(UnknownNameError, match=r"unknown parameters in .* 'encodr': did you mean 'encoder'"):
            prepare_training(build_config(settings, (), "test"), progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("{names: []}", "training.freeze.names"),
        ("{epochs: 2}", "training.freeze.names"),
        ("{names: [a], epochs: 0}", "training.freeze.epochs is 0"),
        ("{name: [a]}", "training.freeze.name"),
    ],
)
def test_sections_that_are_none(freeze: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"model": {"name": "unet"}}, [f"training.freeze={freeze}"], "test")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("num_classes", "it is the number of data.classes, and a training needs at least one"),
        ("in_channels", "set model.in_channels"),
        ("tasks", "set model.tasks"),
        ("checkpoint", "set model.initial_weights"),
        ("encoder_weights", "set model.encoder_weights"),
        ("name", "set model.name"),
    ],
)
def test_arguments_that_have_a_place_of_their_own(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"model": {"name": "unet", "arguments": {name: json.loads("0")}}}, (), "test")
    assert "\n" not in str(caught.value)
    assert f"{name} does not belong here: {hint}" in str(caught.value)
