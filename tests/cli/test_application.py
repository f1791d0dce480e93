"""The command line as a whole: help, doors, mistakes, completion."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import typer
import typer.main

import acsnet
from acsnet._utils import plugins
from acsnet.cli import application, completion, main
from acsnet.cli.application import COMMANDS
from acsnet.config import catalog, list_configs
from acsnet.version import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "numpy", "cv2", "yaml", "matplotlib", "rich"}
Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def options_of(help_text: str) -> list[str]:
    """The arguments and options of a help text, without the program's name."""
    return help_text.partition("\n")[2].splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_both_doors_of_a_command(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([name, "--help"]) == 0
    command = capsys.readouterr().out
    assert command.startswith(f"Usage: acsnet {name} [OPTIONS]")
    path = REPOSITORY / "tools" / f"{name.replace('-', '_')}.py"
    statements = path.read_text(encoding="utf-8").splitlines()[1:]
    assert [line for line in statements if line] == [
        "from acsnet.cli import main",
        'if __name__ == "__main__":',
        f'    raise SystemExit(main(tool="{name}"))',
    ]
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    assert main(tool=name) == 0
    tool = capsys.readouterr().out
    assert tool.startswith(f"Usage: python tools/{path.name} [OPTIONS]")
    assert options_of(tool) == options_of(command)
    assert "--help" in tool


def test_every_tool_is_a_command() -> None:
    assert {path.stem.replace("_", "-") for path in (REPOSITORY / "tools").glob("*.py")} == {*COMMANDS}


def test_help_lists_every_command_in_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    commands = text.partition("Commands:\n")[2]
    assert re.findall(r"^  ([a-z-]+)  ", commands, flags=re.MULTILINE) == [*COMMANDS]
    assert "..." not in commands
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_another_exit_status_of_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of ``--install-completion`` in an unknown shell."""

    def end(_: Any) -> None:
        raise typer.Exit(3)

    command = SimpleNamespace(make_context=lambda *_: nullcontext(), invoke=end)
    monkeypatch.setattr(typer.main, "get_command", lambda _: command)
    with pytest.raises(SystemExit) as caught:
        main(["--install-completion"])
    assert caught.value.code == 3


def test_version(invoke: Invoke) -> None:
    assert invoke("--version") == (0, f"acsnet {__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["train"], ["models"], ["import-weights"]])
def test_help_imports_nothing_that_takes_long(command: list[str]) -> None:
    code = "import sys; from acsnet.cli import main; main(sys.argv[1:]); print('loaded:', *sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert "Usage: acsnet" in result.stdout
    assert not HEAVY & set(result.stdout.partition("loaded:")[2].split())


def test_python_m(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "acsnet", "tran"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: unknown command 'tran': did you mean 'train'? acsnet --help lists all\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["tset"], "unknown command 'tset': did you mean 'test'? acsnet --help lists all"),
        (["a\x1b[31m"], r"unknown command 'a\x1b[31m': acsnet --help lists all"),
        (["--versoin"], "unknown option '--versoin': did you mean '--version'? acsnet --help lists all"),
        (
            ["test", "--chekpoint", "x"],
            "unknown option '--chekpoint': did you mean '--checkpoint'? acsnet test --help lists all",
        ),
        (
            ["train", "x", "--batchsize=8"],
            "unknown option '--batchsize': did you mean '--batch-size'? acsnet train --help lists all",
        ),
        (["train", "-x"], "unknown option '-x': acsnet train --help lists all"),
        (["train"], "missing argument 'CONFIG'; see acsnet train --help"),
        (["test"], "missing option '--checkpoint'; see acsnet test --help"),
        (["models", "--import"], "option '--import' requires an argument; see acsnet models --help"),
        (
            ["curate", "x", "--out", "--dataset", "busi"],
            "option --out has no value: --dataset follows; see acsnet curate --help",
        ),
        (["train", "a", "b"], "got unexpected extra argument (b); see acsnet train --help"),
        (
            ["train", "", "--resume"],
            "invalid value for 'CONFIG': it is empty: is a variable of the shell not set? See acsnet train --help",
        ),
        (["configs", "--out", "x"], "--copy NAME and --out DIR belong together: give both, or none to list the conf"),
        (
            ["configs", "unet*", "--copy", "a", "--out", "x"],
            "PATTERN and --copy exclude each other: remove unet*, or p",
        ),
    ],
)
def test_mistakes_are_one_line(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    # Versions of typer differ here.
    assert output.err.replace("argument(s)", "argument").startswith(f"error: {error}")
    assert output.err.count("\n") == 1


def test_mistakes_of_a_tool_name_the_tool(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/a folder/tools/train.py"])
    assert main(tool="train") == 2
    assert capsys.readouterr().err == "error: missing argument 'CONFIG'; see python tools/train.py --help\n"
    assert main(["x", "--wrk-dir", "y"], tool="train") == 2
    message = "unknown option '--wrk-dir': did you mean '--work-dir'? python tools/train.py --help lists all"
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """``parse("calibrate", ...)`` returns what the function of a command receives."""

    def call(name: str, *words: str) -> dict[str, Any]:
        command = typer.main.get_command(application._application).commands[name]
        received: dict[str, Any] = {}
        monkeypatch.setattr(command, "callback", lambda **values: received.update(values))
        with command.make_context(name, [*words]) as context:
            command.invoke(context)
        return received

    return call


@pytest.mark.parametrize(
    ("words", "key", "values"),
    [
        (
            ["--points", "specificity_90", "sensitivity_80", "--overwrite"],
            "points",
            ["specificity_90", "sensitivity_80"],
        ),
        (["--points", "a", "--overwrite", "--points", "b"], "points", ["a", "b"]),
        (["--predictions", "a", "b c", "-d"], "predictions", [Path("a"), Path("b c"), Path("-d")]),
        (["--set", "a=1", "--set", "b=2"], "overrides", ["a=1", "b=2"]),
        (["--import", "json", "--import", "csv"], "imports", ["json", "csv"]),
    ],
)
def test_options_of_several_values(
    words: list[str], key: str, values: list[Any], parse: Callable[..., dict[str, Any]]
) -> None:
    received = parse("calibrate", "--checkpoint", "x", *words, "--out", "y.safetensors")
    assert [*received[key]] == values
    assert received["out"] == Path("y.safetensors")


def test_other_values_of_several_words(parse: Callable[..., dict[str, Any]]) -> None:
    assert parse("phantom", "--size", "64", "48", "--out", "x")["size"] == (64, 48)
    received = parse("import-weights", "a.safetensors", "--out", "x", "--classes", "benign", "malignant", "normal")
    assert [*received["classes"]] == ["benign", "malignant", "normal"]
    assert [*parse("predict", "a", "--checkpoint", "c", "b", "--", "-d")["inputs"]] == [
        Path("a"),
        Path("b"),
        Path("-d"),
    ]
    exported = parse("export", "--checkpoint", "x", "--format", "onnx", "--images", "a", "b")
    assert [*exported["images"]] == [Path("a"), Path("b")]


def test_choices_of_the_options_are_those_of_the_package() -> None:
    from acsnet.curation.policy import POLICIES
    from acsnet.data import list_datasets
    from acsnet.inference import predictor
    from acsnet.models._convert_he2024 import OffsetOrder

    def choices(name: str, parameter: str) -> set[str]:
        annotation = COMMANDS[name].__annotations__[parameter]
        return {*get_args(get_args(annotation)[0])}

    assert choices("curate", "policy") == {*POLICIES}
    assert choices("import-weights", "offset_order") == {*get_args(OffsetOrder)}
    for name in ("test", "predict", "calibrate"):
        assert choices(name, "precision") == {*predictor._DTYPES}
    assert {*completion.DATASETS} == {*list_datasets()} - {"folders"}


NETWORK_COMMANDS = {*COMMANDS} - {"configs", "phantom", "import-weights"}


@pytest.mark.parametrize("name", sorted(NETWORK_COMMANDS))
def test_modules_are_imported_before_a_command_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command: Any = typer.main.get_command(application._application).commands[name]
    order: list[Any] = []
    monkeypatch.setattr(plugins, "import_plugins", order.append)
    monkeypatch.setattr(command, "callback", lambda imports: order.append("run"))
    with command.context_class(command, info_name=name) as context:
        context.params = {"imports": ["mine"]}
        command.invoke(context)
    assert order == [["mine"], "run"]
    assert "imports" in {parameter.name for parameter in command.params}


def complete(*words: str) -> list[str]:
    """What a shell is offered for the last word."""
    environment = {
        "_ACSNET_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["acsnet", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = (
        "import os, sys; from acsnet.cli import main\n"
        f"os.environ.update({environment!r})\n"
        "try:\n    main([])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert result.stderr == ""
    return result.stdout.split()


def test_shells_complete_commands_and_names() -> None:
    assert complete("cal") == ["calibrate"]
    assert complete("train", "--work") == ["--work-dir"]
    assert complete("train", "acsnet_b") == ["acsnet_busi", "acsnet_busi_scratch"]
    assert complete("test", "--checkpoint", "acs") == ["acsnet_busi"]
    assert complete("curate", "x", "--policy", "keep") == ["keep-one", "keep-all-grouped"]


def test_names_that_are_completed_are_all() -> None:
    assert completion.complete_checkpoint("") == sorted(acsnet.list_checkpoints())
    assert completion.complete_config("") == [*list_configs()]
    assert completion.complete_config("published/he") == [*list_configs("published/he*")]
    assert completion.complete_dataset("bus") == ["busi", "busbra", "busuclm"]
    assert completion.complete_checkpoint("nothing") == []


def test_a_shell_is_not_disturbed_by_files_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.json").write_text("{")
    monkeypatch.setattr(completion, "_INDEXES", (tmp_path / "none.json", tmp_path / "index.json"))
    assert completion.complete_checkpoint("") == []
    monkeypatch.setattr(catalog, "_PLACES", (tmp_path / "none",))
    assert completion.complete_config("") == []
