"""The prepared check of a GPU, run on the CPU with tiny inputs, and the copy of a dataset that travels with it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.data import read_busi
from acsnet.data.images import read_image, read_mask
from acsnet.errors import DataError, InputError
from conftest import load_file

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts" / "gpu_check.sh"
PREPARATION = REPOSITORY / "scripts" / "prepare_gpu_check.sh"
pack = load_file(REPOSITORY / "scripts" / "pack_images.py").pack


def check(*arguments: object, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    command = ["bash", str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "/no/such"), "error: --images is '/no/such': expected a folder in BUSI's layout"),
        (("--images", "."), "error: --out is missing: name a folder for the results"),
        (("--images", ".", "--out", "x", "--device", "tpu"), "error: --device is 'tpu': expected cuda or cpu"),
        (("--out",), "error: --out needs a value"),
        (("--rows", "all"), "error: unknown argument --rows: expected --images DIR, --out DIR and optionally"),
        (("--images", ".", "--out", "/dev/shm", "--device", "cpu", "--wheels", "none"), "error: --wheels is 'none'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = check(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "/no/such"), "error: --images is '/no/such': expected a folder in BUSI's layout"),
        (("--images", "."), "error: --out is missing: name a folder for images and wheels"),
        (("--wheels", "w"), "error: unknown argument --wheels: expected --images DIR, --out DIR and optionally"),
    ],
)
def test_wrong_arguments_of_the_preparation_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = check(*arguments, script=PREPARATION)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_missing_package_names_the_way_to_its_wheel(tmp_path: Path) -> None:
    package = tmp_path / "pydantic"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'pydantic'\")")
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}
    command = ["bash", str(SCRIPT), "--images", ".", "--out", str(tmp_path / "out"), "--device", "cpu"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "error: ModuleNotFoundError: No module named 'pydantic'; name the folder of wheels that "
        "scripts/prepare_gpu_check.sh makes by --wheels\n"
    )


@pytest.mark.slow
def test_every_step_runs_and_only_failed_ones_run_again(phantom_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = check("--images", phantom_root, "--out", out, "--device", "cpu")
    steps = [line.split("\t") for line in (out / "steps.tsv").read_text().splitlines()]
    assert [(name, status) for name, _, status in steps] == [
        ("tests", "0"), ("training", "0"), ("testing", "0"), ("resuming", "0"), ("two_processes", "0"),
        ("recipe", "0"),
    ], first.stdout  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert (out / "test" / "metrics.json").is_file()
    assert (out / "recipe.part.aa").read_bytes() == (out / "recipe" / "best.safetensors").read_bytes()
    assert len((out / "resumed" / "history.csv").read_text().splitlines()) == 3
    failed = [(name, seconds, "1" if name == "testing" else status) for name, seconds, status in steps]
    (out / "steps.tsv").write_text("".join("\t".join(step) + "\n" for step in failed))
    again = check("--images", phantom_root, "--out", out, "--device", "cpu")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("done before") == 5


@pytest.mark.slow
def test_a_step_that_fails_stops_no_other(phantom_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    # The test of the checkpoint finds a file in place of its folder.
    (out / "test").touch()
    result = check("--images", phantom_root, "--out", out, "--device", "cpu")
    statuses = dict(line.split("\t")[::2] for line in (out / "steps.tsv").read_text().splitlines())
    assert statuses.pop("testing") != "0"
    assert set(statuses.values()) == {"0"}
    assert result.returncode == 1


def test_packed_images_keep_names_masks_and_proportions(phantom_root: Path, tmp_path: Path) -> None:
    size = pack(phantom_root, tmp_path / "packed", side=32)
    records, originals = read_busi(tmp_path / "packed"), read_busi(phantom_root)
    assert [record.name for record in records] == [record.name for record in originals]
    assert size == sum(path.stat().st_size for path in (tmp_path / "packed").rglob("*.png"))
    for record, original in zip(records[:3], originals[:3], strict=True):
        assert read_image(record.image).shape[:2] == (32, 32)
        small, mask = read_mask(record.masks[0]), read_mask(original.masks[0])
        assert small.mean() == pytest.approx(mask.mean(), abs=0.02)


def test_packing_refuses_to_overwrite_and_to_copy_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already: name another folder by --out"):
        pack(tmp_path, tmp_path, side=32)
    with pytest.raises(DataError, match=r"has no images <class>/\*\.png: expected a dataset in BUSI's layout"):
        pack(tmp_path, tmp_path / "out", side=32)


def test_images_are_never_enlarged(tmp_path: Path) -> None:
    (tmp_path / "set" / "benign").mkdir(parents=True)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "set" / "benign" / "benign (1).png")
    pack(tmp_path / "set", tmp_path / "out", side=384)
    with Image.open(tmp_path / "out" / "benign" / "benign (1).png") as image:
        assert image.size == (30, 20)
