"""The tools as their users call them: right and wrong input, exit status, one line of error, nothing half-written."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
Invoke = Callable[..., tuple[int, str, str]]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_error(result: tuple[int, str, str], *texts: str) -> None:
    status, _, errors = result
    assert status == 2
    line = errors.strip().splitlines()[-1]
    assert errors.startswith("error: ") or line.startswith(("error: ", "  "))
    assert "Traceback" not in errors
    for text in texts:
        assert text in errors


def test_train_test_predict(invoke: Invoke, tiny_config: Path, phantom_root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    status, output, errors = invoke("train", tiny_config, "--work-dir", run, "--set", "training.epochs=1")
    assert status == 0, errors
    assert f"best checkpoint: {run}/best.safetensors" in output

    status, output, errors = invoke("test", "--checkpoint", run / "best.safetensors")
    assert status == 0, errors
    assert "Dice" in output
    metrics = json.loads((run / "test" / "metrics.json").read_text())
    cases = read_rows(run / "test" / "cases.csv")
    assert metrics["n"] == len(cases)
    assert metrics["part"] == "test"
    assert metrics["split_hash"] == json.loads((run / "environment.json").read_text())["split_hash"]

    folder = tmp_path / "predictions"
    images = [phantom_root / "benign" / "benign (2).png", phantom_root / "normal"]
    status, output, errors = invoke("predict", "--checkpoint", run / "best.safetensors", "--out", folder, *images)
    assert status == 0, errors
    rows = read_rows(folder / "predictions.csv")
    assert len(rows) == 11, "one file, and a folder of ten images whose masks are left out"
    mask = cv2.imread(str(folder / "masks" / "benign (2).png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == cv2.imread(str(images[0])).shape[:2]
    assert set(np.unique(mask)) <= {0, 255}
    assert float(rows[0]["mask_area_fraction"]) == pytest.approx((mask > 0).mean())
    assert (folder / "overlays" / "normal (1).png").exists()


def test_test_any_folder_with_fewer_classes(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere"
    for label in ("benign", "malignant"):
        shutil.copytree(phantom_root / label, root / label)
    # Without the run folder around it: the checkpoint alone is enough.
    checkpoint = shutil.copy(trained_run / "best.safetensors", tmp_path / "alone.safetensors")
    arguments = ["--set", f"data.root={root}", "--set", "data.split=all", "--out", tmp_path / "out"]
    status, _, errors = invoke("test", "--checkpoint", checkpoint, *arguments)
    assert status == 0, errors
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 26
    assert metrics["part"] == "all"
    assert metrics["segmentation"]["normal"]["n"] == 0
    assert "normal" in metrics["classification"]["notes"]["auroc_macro"]


def test_another_split_is_pointed_out(
    invoke: Invoke, trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--set", "data.folds.index=1", "--out", tmp_path / "out"]
    assert invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments)[0] == 0
    assert "tested images may have been trained on" in caplog.text


def test_curate_writes_a_table_that_trains_and_tests(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    status, output, errors = invoke("curate", phantom_root, "--out", tmp_path)
    assert status == 0, errors
    assert "36 images in 36 groups" in output
    assert {"image", "masks", "label", "group"} <= read_rows(tmp_path / "records.csv")[0].keys()
    table = ["--set", "data.root=null", "--set", f"data.records={tmp_path / 'records.csv'}"]
    arguments = ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out", *table]
    status, _, errors = invoke("test", *arguments)
    assert status == 0, errors
    environment = json.loads((trained_run / "environment.json").read_text())
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["split_hash"] == environment["split_hash"]


def test_phantom_tool(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ["--out", tmp_path / "set", "--benign", 1, "--malignant", 1, "--normal", 1, "--size", 64, 64]
    assert invoke("phantom", *arguments)[0] == 0
    assert (tmp_path / "set" / "normal" / "normal (1)_mask.png").exists()
    assert_error(invoke("phantom", *arguments), str(tmp_path / "set"))


def test_every_broken_file_is_listed_before_training(
    invoke: Invoke, tiny_config: Path, phantom_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "broken"
    shutil.copytree(phantom_root, root)
    image = root / "benign" / "benign (1).png"
    image.write_bytes(image.read_bytes()[:-200])
    (root / "malignant" / "malignant (2).png").write_text("no image")
    cv2.imwrite(str(root / "normal" / "normal (3)_mask.png"), np.zeros((10, 12), np.uint8))
    (root / "normal" / "normal (5)_mask.png").unlink()
    result = invoke("train", tiny_config, "--set", f"data.root={root}", "--work-dir", tmp_path / "run")
    broken = ["benign (1).png", "malignant (2).png", "normal (3)_mask.png is 12x10", "normal (5).png has no mask"]
    assert_error(result, "4 problems:", *broken)
    assert not (tmp_path / "run").exists()


def test_missing_masks_are_listed(invoke: Invoke, tiny_config: Path, phantom_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "broken"
    shutil.copytree(phantom_root, root)
    for label in ("benign", "normal"):
        (root / label / f"{label} (4)_mask.png").unlink()
    result = invoke("train", tiny_config, "--set", f"data.root={root}", "--work-dir", tmp_path / "run")
    assert_error(result, "2 problems:", "benign (4).png has no mask", "normal (4).png has no mask")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["configs/acsnet_bus.yaml"], "there is no configuration file"),
        (["CONFIG", "--set", "trainig.epochs=1"], "unknown key 'trainig': did you mean 'training'?"),
        (["CONFIG", "--set", "data.root=/nowhere"], "there is no data root /nowhere: download BUSI"),
        (["CONFIG", "--set", "model.arguments.backend=mcvv"], "mcvv"),
        (["CONFIG", "--resume"], "there is no run to resume"),
    ],
)
def test_wrong_input_of_train(
    arguments: list[str], text: str, invoke: Invoke, tiny_config: Path, tmp_path: Path
) -> None:
    given = [str(tiny_config) if argument == "CONFIG" else argument for argument in arguments]
    assert_error(invoke("train", *given, "--work-dir", tmp_path / "run"), text)
    assert not (tmp_path / "run").exists()


def test_imagenet_weights_that_cannot_be_downloaded(tiny_config: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(REPOSITORY / "tools" / "train.py"),
        str(tiny_config),
        "--work-dir",
        str(tmp_path / "run"),
    ]
    command += ["--set", "model.encoder_weights=imagenet", "--set", "model.arguments.encoder=resnet18"]
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert result.returncode == 2
    assert "the ImageNet weights of resnet18 could not be downloaded" in result.stderr
    assert "--set model.encoder_weights=null" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_checkpoints_that_cannot_be_used(invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    image = phantom_root / "benign" / "benign (1).png"
    content = (trained_run / "best.safetensors").read_bytes()
    (tmp_path / "truncated.safetensors").write_bytes(content[: len(content) // 2])
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pickled.pt")
    for name, text in (
        ("nothing.safetensors", "there is no checkpoint"),
        ("truncated.safetensors", "is truncated or not a safetensors file"),
        ("pickled.pt", "are never opened"),
    ):
        for tool, more in (("predict", [image]), ("test", [])):
            result = invoke(tool, "--checkpoint", tmp_path / name, "--out", tmp_path / "out", *more)
            assert_error(result, text, name)
    assert not (tmp_path / "out").exists()


def test_images_that_cannot_be_predicted(invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    image = phantom_root / "benign" / "benign (1).png"
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:500])
    (tmp_path / "empty").mkdir()
    call = ["predict", "--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out"]
    assert_error(
        invoke(*call, image, tmp_path / "text.png", tmp_path / "cut.png"), "2 problems:", "text.png", "cut.png"
    )
    assert_error(invoke(*call, tmp_path / "none.png"), "there is no image", "none.png")
    assert_error(invoke(*call, tmp_path / "empty"), "holds no images")
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(image, again / image.name)
    assert_error(invoke(*call, image, again / image.name), "would both be written as benign (1).png")
    assert not (tmp_path / "out").exists()


def test_test_needs_classes_the_checkpoint_knows(invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    arguments = ["--set", "data.classes=[benign, cyst]", "--out", tmp_path / "out"]
    assert_error(invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments), "data.classes has cyst")


def test_test_needs_the_configuration_of_the_same_network(
    invoke: Invoke, trained_run: Path, tiny_config: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copy(trained_run / "best.safetensors", tmp_path / "alone.safetensors")
    arguments = ["--config", tiny_config, "--set", "model.name=unet", "--out", tmp_path / "out"]
    result = invoke("test", "--checkpoint", checkpoint, *arguments)
    assert_error(result, "is of the network acsnet, the configuration names unet")


@pytest.mark.parametrize("threshold", ["0", "1.5"])
def test_predict_threshold_out_of_range(threshold: str, invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out", "x.png"]
    status, _, errors = invoke("predict", *arguments, "--threshold", threshold)
    assert status == 2
    assert "it has to lie between 0 and 1" in errors


@pytest.mark.parametrize("tool", ["train", "test", "predict", "phantom", "curate"])
def test_help(tool: str, invoke: Invoke) -> None:
    status, output, _ = invoke(tool, "--help")
    assert status == 0
    assert "usage:" in output
