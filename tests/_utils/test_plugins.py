"""Plugins: their names, their errors, and what is registered."""

import importlib
import logging
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import acsnet
from acsnet._utils import plugins, registration
from acsnet._utils.plugins import import_plugins, load_installed_plugins, look_up_registered
from acsnet._utils.registration import is_module_name, module_of, register
from acsnet.data import DatasetEntry
from acsnet.errors import InputError, PluginError, UnknownNameError
from acsnet.ops.backends import pytorch

Write = Callable[..., Path]
REGISTER = """
import acsnet
acsnet.register_loss({name!r}, task="segmentation")(acsnet.losses.DiceLoss)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules in the current folder; they are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(registration, "_modules", {**registration._modules})
    before = set(sys.modules)

    def make(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    yield make
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for losses in acsnet.losses.build.LOSSES.values():
        for name in [name for name in losses if name.startswith("plug_")]:
            del losses[name]


def error_of(name: str, **options: Any) -> str:
    with pytest.raises(PluginError) as caught:
        import_plugins([name], **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("my_module.py", "not a path: write my_module, which is found in the current folder"),
        ("nets/my_module.py", "not a path: write nets.my_module, which is found in the current folder"),
        ("nets/my_module", "not a path: write nets.my_module, which is found in the current folder"),
        ("/home/me/my_module.py", "not a path: write my_module, and add its folder by PYTHONPATH=/home/me"),
        ("../my_module.py", "not a path: write my_module, and add its folder by PYTHONPATH=.."),
        ("my-nets/my_module.py", "not a path: write my_module, and add its folder by PYTHONPATH=my-nets"),
        ("", "'': expected the name of a module, such as my_module for my_module.py"),
        ("a,b", "'a,b': expected the name of a module, such as"),
        ("class", "'class': expected the name of a module, such as"),
        (".relative", "'.relative': expected the name of a module, such as"),
    ],
)
def test_a_name_that_is_not_that_of_a_module(name: str, remedy: str) -> None:
    assert remedy in error_of(name)


def test_a_module_that_is_missing(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    write("plug_networks.py")
    message = error_of("plug_netwroks")
    assert message.startswith("--import plug_netwroks: there is no module plug_netwroks in ")
    assert f"{tmp_path / 'library'}, " in message
    assert f"{tmp_path}, " in message
    assert message.endswith("the installed packages; did you mean plug_networks?")
    assert "site-packages" not in message
    assert "did you mean" not in error_of("something_else_entirely")


def test_a_module_that_is_missing_in_a_package(write: Write, tmp_path: Path) -> None:
    write("plug_pack/__init__.py")
    write("plug_pack/networks.py")
    expected = f"plugins: plug_pack.network: there is no module plug_pack.network in {tmp_path / 'plug_pack'}; did you "
    assert error_of("plug_pack.network", source="plugins:") == f"{expected}mean plug_pack.networks?"
    write("plug_single.py")
    assert "plug_single.py, which is not a package" in error_of("plug_single.networks")
    assert "there is no module plug_pakc in" in error_of("plug_pakc.networks")
    assert error_of("plug_pakc.networks").endswith("did you mean plug_pack.networks?")


def test_a_folder_is_not_a_module(write: Write, tmp_path: Path) -> None:
    write("plug_folder/one.py")
    expected = "--import plug_folder: it is a folder without __init__.py: name a module in it"
    assert error_of("plug_folder") == f"{expected}, such as plug_folder.one"
    (tmp_path / "plug_empty" / "sub").mkdir(parents=True)
    assert error_of("plug_empty.sub").endswith(
        "plug_empty.sub: it is a folder without __init__.py: name a module in it"
    )
    import_plugins(["plug_folder.one"])


@pytest.mark.parametrize("name", ["json", "yaml"])
def test_a_file_does_not_replace_another_module(name: str, write: Write) -> None:
    module = importlib.import_module(name)
    write(f"{name}.py", "raise SystemError")
    assert re.search(
        rf"{name} is already the name of another module \(.*{name}.*\): rename {name}\.py$", error_of(name)
    )
    assert sys.modules[name] is module


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import math\n\n1 / 0", "plug_bad.py, line 3: ZeroDivisionError: division by zero"),
        ("x = 1\ndef f(:\n    pass", "plug_bad.py, line 2: SyntaxError: invalid syntax"),
        ("if True:\nx = 1", "plug_bad.py, line 2: IndentationError: expected an indented block after 'if'"),
        ("\nimport no_such_library", "plug_bad.py, line 2: ModuleNotFoundError: No module named 'no_such_library'"),
        ("from json import no_such_name", "plug_bad.py, line 1: ImportError: cannot import name 'no_such_name' from"),
        ("import sys\nsys.exit(3)", "plug_bad.py, line 2: SystemExit: 3"),
        ("raise SystemExit", "plug_bad.py, line 1: SystemExit"),
        ("raise ValueError('one\\n  two')", "plug_bad.py, line 1: ValueError: one two"),
        # The line of the user's code, not that of the library that it calls.
        ("import json\n\njson.loads('{')", "plug_bad.py, line 3: JSONDecodeError: "),
        (
            "import acsnet\nacsnet.register_loss('dice', 'segmentation')(acsnet.losses.DiceLoss)",
            "plug_bad.py, line 2: InputError: a segmentation loss named 'dice' is already registered: choose another",
        ),
        (
            "import acsnet\nacsnet.register_loss('x', 'sgmentation')",
            "unknown task of a loss 'sgmentation': did you mean",
        ),
        ("from plug_helper import x", "plug_helper.py, line 4: NameError: name 'y' is not defined"),
    ],
)
def test_a_module_that_fails(text: str, expected: str, write: Write) -> None:
    write("plug_helper.py", "\n\n\nx = y")
    write("plug_bad.py", text)
    message = error_of("plug_bad")
    assert message.startswith("--import plug_bad: plug_")
    assert expected in message
    assert "plug_bad" not in sys.modules


def test_an_interruption_is_not_an_error_of_the_module(write: Write) -> None:
    write("plug_slow.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        import_plugins(["plug_slow"])


def test_a_module_that_fails_can_be_corrected_and_imported_again(write: Write) -> None:
    write("plug_fixed.py", f"{REGISTER.format(name='plug_loss')}\n1 / 0")
    assert "ZeroDivisionError" in error_of("plug_fixed")
    assert "plug_loss" not in acsnet.losses.SEGMENTATION_LOSSES
    assert module_of("segmentation loss", "plug_loss") is None
    write("plug_fixed.py", REGISTER.format(name="plug_loss"))
    import_plugins(["plug_fixed"])
    assert module_of("segmentation loss", "plug_loss") == "plug_fixed"


# --- importing twice -------------------------------------------------------------------------------------------------


def test_a_module_is_imported_once(write: Write) -> None:
    write("plug_once.py", REGISTER.format(name="plug_loss"))
    import_plugins(["plug_once", "plug_once"])
    import_plugins(["plug_once"], "plugins:")
    assert "plug_loss" in acsnet.losses.SEGMENTATION_LOSSES


def test_the_same_file_by_two_names(write: Write) -> None:
    write("plug_pack/__init__.py")
    text = REGISTER.format(name="plug_loss")
    write("plug_pack/one.py", text)
    write("plug_one.py", text)
    import_plugins(["plug_pack.one"])
    assert "a segmentation loss named 'plug_loss' is already registered by plug_pack.one: choose" in error_of(
        "plug_one"
    )
    assert module_of("segmentation loss", "plug_loss") == "plug_pack.one", "the first one stays"


# --- installed plugins -----------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of installed packages, none of which is loaded yet."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry for entry in entries if entry.group == group])
    monkeypatch.setattr(plugins, "_is_loaded", False)
    return entries


def test_an_unknown_name_loads_installed_plugins_once(
    write: Write, installed: list[EntryPoint], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("plug_package.py", REGISTER.format(name="plug_loss") + "\nopen('count', 'a').write('x')")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.append(EntryPoint("mine", "plug_package", plugins.GROUP))
    look_up_registered("segmentation loss", "dice", acsnet.losses.SEGMENTATION_LOSSES, "")
    assert "plug_package" not in sys.modules, "names of this package need no plugin"
    for _ in range(2):
        acsnet.losses.build_loss("segmentation", [("plug_loss", 1.0, {})])
    assert Path("count").read_text() == "x"


def test_a_broken_installed_plugin_is_one_warning(
    write: Write,
    installed: list[EntryPoint],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write("plug_broken.py", f"{REGISTER.format(name='plug_first')}\n1 / 0")
    write("plug_good.py", REGISTER.format(name="plug_second"))
    monkeypatch.syspath_prepend(str(tmp_path))
    installed += [EntryPoint("a", "plug_broken", plugins.GROUP), EntryPoint("b", "plug_good", plugins.GROUP)]
    installed += [EntryPoint("c", "plug_gone", plugins.GROUP), EntryPoint("d", "plug_good:nothing", plugins.GROUP)]
    with caplog.at_level(logging.WARNING), pytest.raises(UnknownNameError, match="unknown network 'plug': "):
        acsnet.models.model_entry("plug")
    load_installed_plugins()
    first, second, third = caplog.messages
    assert first == (
        "the installed plugin a = plug_broken is left out: plug_broken.py, line 5: ZeroDivisionError: division by zero"
    )
    assert second.startswith("the installed plugin c = plug_gone is left out: there is no module plug_gone in ")
    assert "the installed plugin d = plug_good:nothing is left out: " in third
    assert "plug_first" not in acsnet.losses.SEGMENTATION_LOSSES
    assert "plug_second" in acsnet.losses.SEGMENTATION_LOSSES


def test_lists_have_the_names_of_installed_plugins(
    write: Write, installed: list[EntryPoint], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A plugin may itself list names while it is imported."""
    write("plug_lists.py", "import acsnet\nnames = acsnet.list_models()")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.append(EntryPoint("mine", "plug_lists", plugins.GROUP))
    acsnet.list_models()
    assert sys.modules["plug_lists"].names == acsnet.list_models()


# --- registering -----------------------------------------------------------------------------------------------------


def registrations() -> dict[str, tuple[Callable[[str], Any], str]]:
    """Each public function that registers, as a function of the name; and a name that is taken."""
    import torch
    from accelerate.tracking import GeneralTracker

    entry = DatasetEntry("x", "", "", "", "", scan=lambda root, classes: ([], []))

    def replaced(value: Any, name: str) -> Any:
        from dataclasses import replace

        return replace(value, name=name)

    add_model = acsnet.register_model
    return {
        "network": (lambda name: add_model(name, publication="", adds="")(torch.nn.Identity), "unet"),
        "segmentation loss": (lambda name: acsnet.register_loss(name, "segmentation")(torch.nn.Identity), "dice"),
        "classification loss": (lambda name: acsnet.register_loss(name, "classification")(torch.nn.Identity), "focal"),
        "dataset": (lambda name: acsnet.register_dataset(replaced(entry, name)), "busi"),
        "backend": (lambda name: acsnet.register_backend(replaced(pytorch.BACKEND, name)), "auto"),
        "optimizer": (lambda name: acsnet.register_optimizer(name)(torch.optim.SGD), "lion"),
        "tracker": (lambda name: acsnet.register_tracker(name)(GeneralTracker), "wandb"),
    }


@pytest.mark.parametrize(
    "kind", ["network", "segmentation loss", "classification loss", "dataset", "backend", "optimizer", "tracker"]
)
def test_all_registries_have_the_same_rules(kind: str) -> None:
    add, taken = registrations()[kind]
    article = "an" if kind == "optimizer" else "a"
    with pytest.raises(
        InputError, match=f"^{article} {kind} named '{taken}' is already registered: choose another name$"
    ):
        add(taken)
    for name in ("", " x", "a\nb"):
        with pytest.raises(InputError, match=f"cannot be the name of {article} {kind}: use printable characters"):
            add(name)


def test_what_is_not_a_backend_or_a_tracker() -> None:
    with pytest.raises(InputError, match=r"register_backend takes an acsnet\.ops\.backends\.Backend, got str"):
        acsnet.register_backend("torch")
    with pytest.raises(InputError, match=r"the tracker 'x' is not a subclass of accelerate\.tracking\.GeneralTracker"):
        acsnet.register_tracker("x")(dict)


def test_the_module_of_a_class_is_remembered_without_an_import_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that imports its own module and trains."""
    monkeypatch.setattr(registration, "_modules", {})
    for module, known in {"my_nets": "my_nets", "acsnet.models": None, "__main__": None, "my-file": None}.items():
        registry: dict[str, Any] = {}
        register("network", "mine", type("Mine", (), {"__module__": module}), registry)
        assert module_of("network", "mine") == known
        registration._modules.clear()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a", True), ("a.b_2", True), ("a;b", False), ("a b", False), ("", False), ("a..b", False), (3, False)],
)
def test_names_of_modules(name: Any, is_one: bool) -> None:
    assert is_module_name(name) is is_one
