"""The tools on the command line: valid and invalid input, exit status, errors of one line, no partial files."""

import csv
import hashlib
import io
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

import acsnet
from acsnet._utils.devices import choose_device
from acsnet.checkpoints import read_metadata
from acsnet.config import EvaluationConfig
from acsnet.data import dataset_entry
from acsnet.data.datasets import RemoteFile, entry
from acsnet.inference import mask_path, probability_path

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
    assert metrics["subset"] == "test"
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
    assert metrics["subset"] == "all"
    assert metrics["segmentation"]["normal"]["n"] == 0
    assert "normal" in metrics["classification"]["notes"]["auroc_macro"]


def write_records(path: Path, root: Path, dataset: str, labels: dict[str, str]) -> Path:
    """A record table of some classes of a dataset in BUSI's layout, with other class names."""
    rows = [
        {
            "image": str(image),
            "masks": str(image.with_name(f"{image.stem}_mask.png")),
            "label": name,
            "dataset": dataset,
        }
        for label, name in labels.items()
        for image in sorted((root / label).glob("*).png"))
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_test_saves_predictions_and_provenance(invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    checkpoint = trained_run / "best.safetensors"
    arguments = ["--set", "evaluation.threshold=0.4", "--out", tmp_path / "out"]
    status, _, errors = invoke("test", "--checkpoint", checkpoint, *arguments, "--save-predictions")
    assert status == 0, errors
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert metrics["parameters"] == sum(p.numel() for p in acsnet.load_model(checkpoint).parameters())
    assert metrics["seconds_per_image"] > 0
    assert (metrics["threshold"], metrics["threshold_source"]) == (0.4, "configuration")
    assert metrics["evaluation"] == EvaluationConfig(threshold=0.4).model_dump(mode="json")
    assert metrics["predictions_kept"]
    for row in read_rows(tmp_path / "out" / "cases.csv"):
        image = cv2.imread(str(trained_root(trained_run) / row["image"]), cv2.IMREAD_GRAYSCALE)
        for path in (mask_path, probability_path):
            saved = cv2.imread(str(path(tmp_path / "out", row["dataset"], row["image"])), cv2.IMREAD_UNCHANGED)
            assert saved.shape == image.shape
    assert (metrics["device"], metrics["precision"]) == (choose_device().type, "float32")
    options = ["--device", "cpu", "--precision", "bfloat16", "--batch-size", "3"]
    status, _, _ = invoke("test", "--checkpoint", checkpoint, "--out", tmp_path / "bare", *options)
    assert status == 0
    assert {path.name for path in (tmp_path / "bare").iterdir()} == {"metrics.json", "cases.csv"}
    bare = json.loads((tmp_path / "bare" / "metrics.json").read_text())
    assert not bare["predictions_kept"]
    assert (bare["device"], bare["precision"], bare["evaluation"]["batch_size"]) == ("cpu", "bfloat16", 3)


def trained_root(run: Path) -> Path:
    return Path(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"])


def test_external_test_on_a_set_without_normal_cases(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    """The table replaces the data root of the run's configuration, and its classes are mapped."""
    labels = {"benign": "cyst", "malignant": "cancer"}
    table = write_records(tmp_path / "other.csv", phantom_root, "other", labels)
    arguments = ["--set", f"data.records={table}", "--set", "data.split=all"]
    arguments += ["--set", "data.class_map={cyst: benign, cancer: malignant}", "--out", tmp_path / "out"]
    status, output, errors = invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments)
    assert status == 0, errors
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 26
    assert metrics["dataset_sizes"] == {"other": 26}
    assert metrics["class_map"] == {"cyst": "benign", "cancer": "malignant"}
    assert metrics["classification"]["per_class"]["normal"]["support"] == 0
    assert metrics["classification"]["auroc_malignant"] is not None
    assert "balanced_accuracy: no case of normal: left out" in output
    assert {row["label"] for row in read_rows(tmp_path / "out" / "cases.csv")} == {"benign", "malignant"}


def test_test_on_several_tables(invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    lesions = {"benign": "benign", "malignant": "malignant"}
    one = write_records(tmp_path / "one.csv", phantom_root, "one", lesions)
    two = write_records(tmp_path / "two.csv", phantom_root, "two", {"normal": "normal"})
    arguments = ["--set", f"data.records=[{one}, {two}]", "--set", "data.split=all", "--out", tmp_path / "out"]
    status, output, errors = invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments)
    assert status == 0, errors
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dataset_sizes"] == {"one": 26, "two": 10}
    assert metrics["datasets"]["two"]["classification"]["n"] == 10
    assert "dataset" in output


def test_training_on_several_tables(invoke: Invoke, tiny_config: Path, phantom_root: Path, tmp_path: Path) -> None:
    one = write_records(tmp_path / "one.csv", phantom_root, "one", {"benign": "benign", "normal": "normal"})
    two = write_records(tmp_path / "two.csv", phantom_root, "two", {"malignant": "malignant"})
    tables = ["--set", f"data.records=[{one}, {two}]", "--set", "training.epochs=1"]
    status, _, errors = invoke("train", tiny_config, "--work-dir", tmp_path / "run", *tables)
    assert status == 0, errors
    status, _, errors = invoke("test", "--checkpoint", tmp_path / "run" / "best.safetensors")
    assert status == 0, errors
    metrics = json.loads((tmp_path / "run" / "test" / "metrics.json").read_text())
    assert set(metrics["dataset_sizes"]) == {"one", "two"}
    assert metrics["split_hash"] == json.loads((tmp_path / "run" / "environment.json").read_text())["split_hash"]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("data.class_map={cysts: benign}", "unknown label in data.class_map 'cysts': did you mean 'cyst'?"),
        ("data.class_map={cyst: begnin}", "unknown class in data.class_map 'begnin': did you mean 'benign'?"),
        ("data.dataset=busbar", "unknown dataset 'busbar': did you mean 'busbra'"),
    ],
)
def test_unknown_names_of_an_external_test(
    override: str, text: str, invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    table = write_records(tmp_path / "other.csv", phantom_root, "other", {"benign": "cyst"})
    where = f"data.root={phantom_root}" if "dataset" in override else f"data.records={table}"
    arguments = ["--set", where, "--set", override, "--set", "data.split=all", "--out", tmp_path / "out"]
    assert_error(invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments), text)


def test_another_split_is_logged(
    invoke: Invoke, trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--set", "data.folds.index=1", "--out", tmp_path / "out"]
    assert invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments)[0] == 0
    assert "it may have been trained on tested images" in caplog.text


def test_plain_split_is_trained_and_tested(
    invoke: Invoke, tiny_config: Path, phantom_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "copies"
    shutil.copytree(phantom_root, root)
    for number in range(2, 9):
        # Eight copies of one image cannot all be in one subset.
        shutil.copy(root / "benign" / "benign (1).png", root / "benign" / f"benign ({number}).png")
    overrides = [f"data.root={root}", "data.folds={test: 0.25, grouped: false}", "training.epochs=1"]
    arguments = [part for override in overrides for part in ("--set", override)]
    status, _, errors = invoke("train", tiny_config, "--work-dir", tmp_path / "run", *arguments)
    assert status == 0, errors
    assert caplog.text.count("data.folds.grouped is false: ") == 1
    assert "of 9 test images have a copy, or another image of their group, in training" in caplog.text
    assert "mean lesion area" in caplog.text
    caplog.clear()
    status, _, errors = invoke("test", "--checkpoint", tmp_path / "run" / "best.safetensors")
    assert status == 0, errors
    assert "another split" not in caplog.text
    metrics = json.loads((tmp_path / "run" / "test" / "metrics.json").read_text())
    assert metrics["n"] == 9
    assert metrics["folds"] == {"test": 0.25, "validation": 0.34, "grouped": False, "seed": 0}
    metadata = read_metadata(tmp_path / "run" / "best.safetensors")
    assert metadata.config["data"]["folds"] == metrics["folds"]
    assert metadata.split_hash == metrics["split_hash"]
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["folds"] == metrics["folds"]
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["split_hash"] == metadata.split_hash


def test_curate_writes_a_table_that_trains_and_tests(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    status, output, errors = invoke("curate", phantom_root, "--out", tmp_path)
    assert status == 0, errors
    assert "36 images in 36 groups" in output
    assert f"look at {tmp_path}/report.html" in output
    assert {path.name for path in tmp_path.iterdir()} == {"records.csv", "pairs.csv", "curated.csv", "report.html"}
    assert {"image", "masks", "label", "group"} <= read_rows(tmp_path / "records.csv")[0].keys()
    table = ["--set", "data.root=null", "--set", f"data.records={tmp_path / 'records.csv'}"]
    arguments = ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out", *table]
    status, _, errors = invoke("test", *arguments)
    assert status == 0, errors
    environment = json.loads((trained_run / "environment.json").read_text())
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["split_hash"] == environment["split_hash"]


def test_curate_a_table_and_another_layout(invoke: Invoke, phantom_root: Path, tmp_path: Path) -> None:
    table = write_records(tmp_path / "some.csv", phantom_root, "other", {"benign": "benign"})
    status, output, errors = invoke("curate", table, "--out", tmp_path / "one")
    assert status == 0, errors
    assert "14 images in 14 groups" in output
    assert {row["dataset"] for row in read_rows(tmp_path / "one" / "records.csv")} == {"other"}

    root = tmp_path / "mine"
    for image in (phantom_root / "benign").glob("benign (?).png"):
        for kind, source in (("images", image), ("masks", image.with_name(f"{image.stem}_mask.png"))):
            (root / kind / "benign").mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / kind / "benign" / image.name)
    status, output, errors = invoke("curate", root, "--dataset", "folders", "--out", tmp_path / "two")
    assert status == 0, errors
    assert "9 images in 9 groups" in output
    assert_error(invoke("curate", root, "--dataset", "folder", "--out", tmp_path / "three"), "did you mean 'folders'")
    assert_error(invoke("curate", root, "--out", tmp_path / "three"), "mine has no class folders, but")
    assert_error(
        invoke("curate", table, "--out", tmp_path / "one"), "one already holds records.csv, pairs.csv, curated.csv"
    )
    assert_error(invoke("curate", tmp_path / "no.csv", "--out", tmp_path / "three"), "there is no record table")
    status, _, errors = invoke("curate", table, "--out", tmp_path / "three", "--policy", "keep-two")
    assert status == 2
    assert "'keep-two' is not one of 'keep-one', 'drop-all', 'keep-all-grouped'" in errors
    assert not (tmp_path / "three").exists()


def test_curate_continues_with_broken_images(
    invoke: Invoke, phantom_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(phantom_root, tmp_path / "set"))
    (root / "benign" / "benign (1).png").write_bytes(b"")
    (root / "benign" / "benign (2)_mask.png").unlink()
    status, output, errors = invoke("curate", root, "--out", tmp_path / "out", "--policy", "drop-all")
    assert status == 0, errors
    assert "is incomplete" in caplog.text
    assert "benign (2).png has no mask" in caplog.text
    assert "unreadable: 1 image (image or mask that cannot be read)" in output
    assert "curated (drop-all): 35 of 36 images" in output
    flags = {row["name"]: row["flags"] for row in read_rows(tmp_path / "out" / "records.csv")}
    assert "unreadable" in flags["benign/benign (1).png"]
    assert "lesion-mask-empty" in flags["benign/benign (2).png"]
    assert "benign/benign (1).png" not in {row["name"] for row in read_rows(tmp_path / "out" / "curated.csv")}


def zipped(root: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*.png")):
            archive.write(path, f"Dataset_BUSI_with_GT/{path.relative_to(root).as_posix()}")
    return buffer.getvalue()


def test_download_and_use(
    invoke: Invoke, site: Any, phantom_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped(phantom_root)
    site.replies["/Dataset_BUSI.zip"] = lambda handler: site.send(handler, content, len(content) // 2 + 1)
    served = RemoteFile("Dataset_BUSI.zip", site.url("/Dataset_BUSI.zip"))
    monkeypatch.setitem(entry._ENTRIES, "busi", replace(dataset_entry("busi"), files=(served,)))
    status, output, errors = invoke("download", "busi", "--out", tmp_path / "my data")
    assert status == 0, errors
    assert output.index("license:") < output.index("SHA-256 of Dataset_BUSI.zip: ")
    assert f"{hashlib.sha256(content).hexdigest()} (not pinned: no checksum of this file is known" in output
    assert "36 images (14 benign, 12 malignant, 10 normal)" in output
    options = shlex.split(output.splitlines()[-1].removeprefix("use it with: "))
    assert options == ["--set", "data.dataset=busi", "--set", f"data.root={tmp_path}/my data/Dataset_BUSI_with_GT"]
    assert len(site.requests) == 2
    assert_error(invoke("download", "busi", "--out", tmp_path / "my data"), "is there already and is never overwritten")


def test_download_of_sets_that_cannot_be_fetched(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("download", "udiat", "--out", tmp_path / "data")
    assert_error(result, "UDIAT (Dataset B) cannot be downloaded: it has no public address. Ask Moi Hoon Yap")
    assert "license:     for research" in result[1]
    assert_error(
        invoke("download", "busbar", "--out", tmp_path / "data"), "unknown dataset 'busbar': did you mean 'busb"
    )
    assert not (tmp_path / "data").exists()


def test_download_only_shows_the_license(invoke: Invoke, tmp_path: Path) -> None:
    status, output, _ = invoke("download", "busbra", "--show", "--out", tmp_path / "data")
    assert status == 0
    assert "CC BY 4.0" in output
    assert not (tmp_path / "data").exists()


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
    environment["PYTHONPATH"] = str(REPOSITORY)
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
        ("pickled.pt", "is a pickled file (.pt, .pth), which may run code, and is not opened"),
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
    assert_error(invoke(*call, tmp_path / "none.png"), "there is no file or folder", "none.png")
    assert_error(invoke(*call, tmp_path / "empty"), "has no images")
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(image, again / image.name)
    assert_error(invoke(*call, image, again / image.name), "would both be written as benign (1).png")
    assert not (tmp_path / "out").exists()


def test_test_needs_classes_of_the_checkpoint(invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    arguments = ["--set", "data.classes=[benign, cyst]", "--out", tmp_path / "out"]
    assert_error(invoke("test", "--checkpoint", trained_run / "best.safetensors", *arguments), "data.classes has cyst")


def test_test_needs_the_configuration_of_the_same_network(
    invoke: Invoke, trained_run: Path, tiny_config: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copy(trained_run / "best.safetensors", tmp_path / "alone.safetensors")
    arguments = ["--config", tiny_config, "--set", "model.name=unet", "--out", tmp_path / "out"]
    result = invoke("test", "--checkpoint", checkpoint, *arguments)
    assert_error(result, "is a checkpoint of the network acsnet, the configuration names unet")


def test_predict_with_tta_and_uncertainty(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    call = ["predict", "--checkpoint", trained_run / "best.safetensors", phantom_root / "normal" / "normal (1).png"]
    status, output, errors = invoke(*call, "--out", tmp_path / "out", "--tta", "--uncertainty", "--threshold", "0.3")
    assert status == 0, errors
    assert f"{tmp_path}/out/predictions.csv" in output
    assert (tmp_path / "out" / "uncertainty" / "normal (1).png").exists()
    row = read_rows(tmp_path / "out" / "predictions.csv")[0]
    assert 0 <= float(row["label_uncertainty"]) <= 1
    assert 0 <= float(row["mask_uncertainty"]) <= 1
    status, output, errors = invoke(*call, "--out", tmp_path / "tta", "--tta")
    assert status == 0, errors
    names = sorted(path.name for path in (tmp_path / "tta").iterdir())
    assert names == ["lesions.csv", "masks", "overlays", "predictions.csv"]
    result = invoke(*call, "--out", tmp_path / "none", "--uncertainty")
    assert_error(result, "needs several predictions per image", "turn on test-time augmentation (--tta)")
    assert not (tmp_path / "none").exists()


def test_predict_with_explanations(invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    call = ["predict", "--checkpoint", trained_run / "best.safetensors", phantom_root / "malignant", "--explain"]
    status, _, errors = invoke(*call, "--out", tmp_path)
    assert status == 0, errors
    pictures = [path.name for path in (tmp_path / "explanations").iterdir()]
    assert sorted(pictures) == sorted(path.name for path in (tmp_path / "overlays").iterdir())


def test_predict_without_a_folder_named(
    invoke: Invoke, trained_run: Path, phantom_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = phantom_root / "malignant" / "malignant (1).png"
    status, output, errors = invoke("predict", "--checkpoint", trained_run / "best.safetensors", image)
    assert status == 0, errors
    assert output == f"{Path('predictions', 'predictions.csv')}; pictures in the same folder\n"
    assert len(read_rows(tmp_path / "predictions" / "predictions.csv")) == 1
    assert (tmp_path / "predictions" / "masks" / "malignant (1).png").is_file()


@pytest.mark.parametrize("threshold", ["0", "1.5"])
def test_predict_threshold_out_of_range(threshold: str, invoke: Invoke, trained_run: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", trained_run / "best.safetensors", "--out", tmp_path / "out", "x.png"]
    status, _, errors = invoke("predict", *arguments, "--threshold", threshold)
    assert status == 2
    assert "it has to be between 0 and 1" in errors
