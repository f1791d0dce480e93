"""What a wheel and an archive of the source contain, and that an installed wheel works without a clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from acsnet.checkpoints import read_index
from acsnet.config import catalog
from acsnet.errors import ConfigError
from scripts.release import MAX_TOTAL_BYTES

REPOSITORY = Path(__file__).resolve().parents[1]
# Of no use in an archive: links into the package, and what `make` and the tools leave in a clone.
LEFT_OUT = ("models", "ops", ".git", ".venv", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", "build", "dist")
# Compression would take longer than everything else.
BUILD = """
import sys
from setuptools import build_meta

if sys.argv[2] == "sdist":
    build_meta.build_sdist(sys.argv[1])
else:
    build_meta.build_wheel(sys.argv[1], {"--build-option": ["--compression=stored"]})
"""


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a wheel or an archive of the source without network."""
    out.mkdir()
    command = [sys.executable, "-c", BUILD, str(out), kind]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository by links, so that building leaves nothing in it."""
    source = tmp_path_factory.mktemp("build") / "source"
    source.mkdir()
    for path in REPOSITORY.iterdir():
        if path.name not in LEFT_OUT and path.suffix != ".egg-info":
            (source / path.name).symlink_to(path)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build("wheel", source, source.parent / "wheel")


@pytest.fixture(scope="module")
def sizes(wheel: Path) -> Mapping[str, int]:
    """The size of each file in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def files_below(folder: str, pattern: str = "*") -> set[str]:
    root = REPOSITORY / folder
    found = (path for path in root.rglob(pattern) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix() for path in found}


def within(sizes: Mapping[str, int], folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in sizes if name.startswith(folder)}


def test_a_wheel_has_the_package_and_nothing_else(sizes: Mapping[str, int]) -> None:
    added = {"configs", "released"}
    assert {name for name in within(sizes, "acsnet/") if name.split("/")[0] not in added} == files_below("acsnet")
    assert {name.split("/")[0].split("-")[0] for name in sizes} == {"acsnet"}


def test_a_wheel_has_every_configuration(sizes: Mapping[str, int]) -> None:
    configs = files_below("configs", "*.yaml")
    assert {"acsnet_busi.yaml", "bases/he2024.yaml", "published/he2024/acsnet_busi.yaml"} <= configs
    assert within(sizes, "acsnet/configs/") == configs


def test_a_wheel_has_the_released_files_with_their_splits_and_model_cards(sizes: Mapping[str, int]) -> None:
    entries = read_index(REPOSITORY / "checkpoints").checkpoints.values()
    splits = files_below("checkpoints", "*.csv")
    assert "busi_curated.csv" in splits
    names = {"index.json", "README.md", *splits, *(entry.file for entry in entries)}
    assert within(sizes, "acsnet/released/") == names
    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    assert sum(weights.values()) == sum(entry.size for entry in entries) <= MAX_TOTAL_BYTES == 40_000_000


def test_the_size_of_a_wheel(wheel: Path, sizes: Mapping[str, int]) -> None:
    """Beside the weights, the files of a wheel take less than 3 MB."""
    rest = sum(size for name, size in sizes.items() if not name.endswith(".safetensors"))
    assert rest < 3_000_000
    assert wheel.stat().st_size < MAX_TOTAL_BYTES + 3_000_000


def test_an_archive_has_what_a_clone_has(wheel: Path, source: Path) -> None:
    """Setuptools lists the files of an archive when it builds a wheel."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("only a clone knows its files")
    listed = set((source / "acsnet.egg-info" / "SOURCES.txt").read_text(encoding="utf-8").splitlines())
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    tracked = {name for name in output.split("\0") if name and (REPOSITORY / name).is_file()}
    assert tracked - listed == set()
    extra = {name for name in listed - tracked if not name.startswith("acsnet.egg-info/")}
    assert extra == set()


@pytest.mark.parametrize("places", [(), ("configs",), ("acsnet/configs", "configs")])
def test_configurations_that_are_not_installed(
    places: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tmp_path / "acsnet" / "configs"
    monkeypatch.setattr(catalog, "_PLACES", (expected, tmp_path / "configs"))
    if not places:
        message = rf"^the configurations are not installed: expected them in {expected}; install acsnet again$"
        with pytest.raises(ConfigError, match=message):
            catalog.find_config("mine")
        return
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "mine.yaml").touch()
    # A clone in which somebody has installed a wheel uses what the wheel has.
    assert catalog.find_config("mine") == tmp_path / places[0] / "mine.yaml"


# Runs in an empty folder, where the wheel is installed and the repository is not.
USE = """
import socket
import sys
from pathlib import Path

repository = sys.argv[1]
assert not any(path.startswith(repository + "/") and "site-packages" not in path for path in sys.path), sys.path


def refuse(*_):
    raise AssertionError("the network is used")


socket.socket.connect = socket.create_connection = refuse

import acsnet
from acsnet.checkpoints import index_folder, resolve_split
from acsnet.config import find_config, list_configs, load_config
from acsnet.phantom import write_phantoms
from acsnet.training import Trainer

home = Path(acsnet.__file__).parent
assert home.is_relative_to(sys.prefix), home
assert index_folder() == home / "released"
assert resolve_split("busi_curated") == home / "released" / "busi_curated.csv"

write_phantoms(Path("phantoms"), {"benign": 14, "malignant": 12, "normal": 10}, size=(64, 64), progress=False)
image = Path("phantoms/malignant/malignant (1).png")
for name in acsnet.list_checkpoints():
    prediction = acsnet.Predictor.from_checkpoint(name)(image)
    print(name, prediction.label, *prediction.mask.shape)

searches = {name for name in list_configs() if name.startswith("searches/")}
for name in set(list_configs()) - searches:
    load_config(find_config(name))
settings = ["data.root=phantoms", "data.image_size=[64, 64]", "data.folds={count: 4, validation: 0.34}"]
settings += ["training.epochs=1", "training.batch_size=4", "augmentation=[{name: HorizontalFlip}]"]
settings += ["model.arguments={encoder: mobilenetv3_small_050, widths: [16, 16, 16, 16, 16]}"]
config = load_config(find_config("acsnet_phantom"), settings)
best = Trainer.from_config(config, Path("run"), progress=False).fit()
print("trained", acsnet.Predictor.from_checkpoint(best)(image).label is not None)
"""


def variables() -> dict[str, str]:
    """The environment without a path to this repository, which pip would take for the installed package."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def environment_with(wheel: Path, folder: Path) -> Path:
    """Install a wheel into an environment that has the present one's packages but this repository's; return Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, env=variables())
    (site,) = folder.glob("lib/python*/site-packages")
    # Folders that a .pth file names are searched, but their own .pth files, such as this repository's, are not read.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "packages.pth").write_text("\n".join(sorted(places)), encoding="utf-8")
    return python


Call = Callable[..., str]


@pytest.fixture
def call_installed(wheel: Path, tmp_path: Path) -> Call:
    """Run a program of an environment with the wheel, in the empty folder ``empty``; returns its output."""
    programs = environment_with(wheel, tmp_path / "environment").parent
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {**variables(), "ACSNET_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}

    def call(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{program} {arguments}: {result.stderr}"
        return result.stdout

    return call


@pytest.mark.slow
def test_an_installed_wheel_loads_predicts_and_trains(call_installed: Call, tmp_path: Path) -> None:
    output = call_installed("python", "-c", USE, str(REPOSITORY))
    lines = [line.split() for line in output.splitlines()]
    names = [line[0] for line in lines]
    assert [*sorted(read_index(REPOSITORY / "checkpoints").checkpoints), "trained"] == names[-len(names) :]
    assert lines[-1] == ["trained", "True"]
    assert not (tmp_path / "cache" / "checkpoints").exists(), "nothing was downloaded"


SHORT = ["data.image_size=[64, 64]", "data.folds={count: 4, validation: 0.34}", "training.batch_size=4"]
SHORT += ["model.arguments={encoder: mobilenetv3_small_050, widths: [16, 16, 16, 16, 16]}"]


@pytest.mark.slow
def test_the_command_of_an_installed_wheel(call_installed: Call, tmp_path: Path) -> None:
    """The way of a new user, in an empty folder and without network."""
    folder, call = tmp_path / "empty", partial(call_installed, "acsnet")
    assert "train" in call("--help")
    assert "acsnet" in call("models", "acsnet*")
    assert "acsnet_phantom" in call("configs")
    call("phantom", "--out", "phantoms", "--benign", "14", "--malignant", "12", "--normal", "10", "--size", "64", "64")
    call("predict", "--checkpoint", "acsnet_busi", "phantoms/benign/benign (1).png", "--out", "predictions")
    assert (folder / "predictions" / "masks" / "benign (1).png").is_file()
    short = [part for override in ("data.root=phantoms", *SHORT) for part in ("--set", override)]
    call("train", "acsnet_phantom", "--epochs", "1", "--work-dir", "run", *short)
    call("test", "--checkpoint", "run/best.safetensors")
    call("report", "run", "--out", "report")
    assert (folder / "report" / "report.html").is_file()
    call("export", "--checkpoint", "run/best.safetensors", "--format", "torch", "--out", "network.pt2")
    assert (folder / "network.pt2").is_file()


@pytest.mark.slow
def test_a_wheel_of_an_archive_is_that_of_a_clone(source: Path, sizes: Mapping[str, int], tmp_path: Path) -> None:
    archive = build("sdist", source, tmp_path / "sdist")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    for name in ("tests/test_wheel.py", "tools", "configs/acsnet_busi.yaml", "checkpoints/acsnet_busi.safetensors"):
        assert (unpacked / name).exists()
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path / "wheel")) as again:
        assert {entry.filename for entry in again.infolist()} == set(sizes)
    shutil.rmtree(unpacked)
