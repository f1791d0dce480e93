"""Plugins of configurations: who may import code by a name, and who may not."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import acsnet
from acsnet.checkpoints import CheckpointMetadata, open_checkpoint, save_checkpoint
from acsnet.config import build_config, changed_keys, load_config, read_config
from acsnet.errors import CheckpointError, ConfigError, PluginError
from acsnet.evaluation import resolve_test_config
from acsnet.report.training import read_training
from acsnet.training import RunFolder

CONTENT: dict[str, Any] = {"model": {"name": "unet"}, "plugins": ["plug_marker"]}
METADATA: dict[str, Any] = {
    "model": "unet",
    "arguments": {"width": 4, "depth": 2},
    "class_names": ("benign", "malignant", "normal"),
    "input_size": (32, 32),
    "mean": (0.3,),
    "std": (0.2,),
}


@pytest.fixture
def is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Whether the module ``plug_marker`` in the current folder was imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "plug_marker.py").write_text("", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONTENT), encoding="utf-8")
    yield lambda: "plug_marker" in sys.modules
    sys.modules.pop("plug_marker", None)


def test_the_file_that_the_user_names_is_trusted(is_imported: Callable[[], bool]) -> None:
    assert not is_imported()
    assert load_config(Path("mine.yaml")).plugins == ("plug_marker",)
    assert is_imported()


def test_its_parents_and_the_command_line_are_trusted(is_imported: Callable[[], bool]) -> None:
    Path("child.yaml").write_text("base: mine.yaml\ntraining: {epochs: 2}\n", encoding="utf-8")
    load_config(Path("child.yaml"))
    assert is_imported()
    sys.modules.pop("plug_marker")
    Path("plain.yaml").write_text("model: {name: unet}\n", encoding="utf-8")
    load_config(Path("plain.yaml"), ["plugins=[plug_marker]"])
    assert is_imported()


def save(folder: Path, **metadata: Any) -> Path:
    """Write a checkpoint of a stranger, with its configuration next to it."""
    folder.mkdir()
    network = acsnet.create_model("unet", **METADATA["arguments"])
    path = folder / "best.safetensors"
    save_checkpoint(path, network.state_dict(), CheckpointMetadata(**{**METADATA, **metadata}))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONTENT), encoding="utf-8")
    return path


def test_what_comes_with_a_checkpoint_is_data(is_imported: Callable[[], bool]) -> None:
    path = save(Path("download"), plugins=("plug_marker",), config=CONTENT)
    checkpoint = open_checkpoint(path)
    acsnet.load_model(path)
    assert resolve_test_config(checkpoint, None, []).plugins == ("plug_marker",)
    assert RunFolder(path.parent).started_config().plugins == ("plug_marker",)
    assert read_training(path.parent)[0].config.plugins == ("plug_marker",)
    assert read_config(path.parent / "config.yaml").plugins == ("plug_marker",)
    path.with_name("config.yaml").unlink()
    assert resolve_test_config(checkpoint, None, []).plugins == ("plug_marker",), "of the metadata"
    assert build_config(CONTENT, [], "crossval.json").plugins == ("plug_marker",)
    assert not is_imported()
    resolve_test_config(checkpoint, Path("mine.yaml"), [])
    assert is_imported(), "the user names this file"


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (
            ["plug_marker"],
            "; it was registered by the plugin plug_marker: pass --import plug_marker if you trust its code",
        ),
        (["a", "b.c"], "; it was registered by the plugins a, b.c: pass --import a --import b.c if you trust its code"),
        ([], 'acsnet.list_models("*") lists all'),
    ],
)
def test_an_unknown_network_of_a_checkpoint_names_its_plugin(
    names: list[str], remedy: str, is_imported: Callable[[], bool]
) -> None:
    path = save(Path("download"), model="plug_network", plugins=names)
    with pytest.raises(CheckpointError, match="cannot be built: unknown network 'plug_network': ") as caught:
        acsnet.load_model(path)
    assert str(caught.value).endswith(remedy)
    assert not is_imported()


def test_an_imported_plugin_is_not_the_remedy(is_imported: Callable[[], bool]) -> None:
    """As for a network that a newer version of the plugin does not have."""
    path = save(Path("download"), model="plug_network", plugins=["plug_marker"])
    load_config(Path("mine.yaml"))
    with pytest.raises(CheckpointError, match=r'acsnet\.list_models\("\*"\) lists all$'):
        acsnet.load_model(path)


@pytest.mark.parametrize("name", ["x; rm -rf ~", "x\x1b[31m", "", "a/b.py", "x --set a=b"])
def test_a_plugin_in_a_checkpoint_that_is_not_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a module"):
        CheckpointMetadata(**METADATA, plugins=[name])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("plugins: plug_marker", ConfigError, r"plugins is 'plug_marker': expected a list, as in"),
        ("plugins: [3]", ConfigError, r"plugins\.0 is 3: expected text"),
        ("plugin: [plug_marker]", ConfigError, r"unknown key 'plugin': did you mean 'plugins'\?"),
        (
            "plugins: [plug_mraker]",
            PluginError,
            r"^bad\.yaml: plugins: plug_mraker: there is no .* mean plug_marker\?$",
        ),
        (
            "plugins: [plug_marker.py]",
            PluginError,
            r"^bad\.yaml: plugins: plug_marker\.py: expected .* write plug_marker",
        ),
    ],
)
def test_invalid_plugins(text: str, error: type[Exception], message: str, is_imported: Callable[[], bool]) -> None:
    Path("bad.yaml").write_text(f"model: {{name: unet}}\n{text}\n", encoding="utf-8")
    with pytest.raises(error, match=message):
        load_config(Path("bad.yaml"))
    assert not is_imported()


@pytest.mark.parametrize("override", ["plugins=[]", "training.trackers=[]"])
def test_a_run_is_resumed_with_other_plugins_and_trackers(override: str) -> None:
    """They do not change the result; a run may have been started by --import instead."""
    config = build_config(CONTENT, [], "example")
    assert changed_keys(config.to_dict(), build_config(CONTENT, [override], "example").to_dict()) == []
