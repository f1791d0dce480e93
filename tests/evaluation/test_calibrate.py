import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acsnet._utils.files import write_csv, write_json, write_png
from acsnet.checkpoints import (
    Checkpoint,
    open_checkpoint,
    read_metadata,
    read_weights,
    save_checkpoint,
    weights_sha256,
)
from acsnet.config import Config
from acsnet.data import load_records, split_data
from acsnet.data.images import read_image, read_merged_mask
from acsnet.errors import CheckpointError, ConfigError, InputError, RunError
from acsnet.evaluation import calibrate_checkpoint, operating_points, resolve_test_config, run_test, write_calibrated
from acsnet.evaluation.threshold import THRESHOLDS, dice_per_threshold, stable_step
from acsnet.inference import Predictor, probability_path

Invoke = Callable[..., tuple[int, str, str]]
NAMES = ("benign", "malignant", "normal")
FOLDS = 4


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of the malignant phantoms are not in the test subset of the checkpoint."""
    monkeypatch.setattr(operating_points, "MIN_IMAGES", 9)


@pytest.fixture
def checkpoint(trained_run: Path) -> Checkpoint:
    return open_checkpoint(trained_run / "best.safetensors")


@pytest.fixture
def config(checkpoint: Checkpoint) -> Config:
    return resolve_test_config(checkpoint, None, [])


@pytest.fixture(scope="session")
def made_up_folds(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests of a cross-validation with made-up predictions. Read-only.

    P(malignant) is 0.7 or 0.3, and right for all but one malignant and one benign image of each fold. The probability
    of the mask is 0.3 in lesions and 0.2 outside.
    """
    work = tmp_path_factory.mktemp("crossval") / "tiny"
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    for fold in range(FOLDS):
        config = resolve_test_config(checkpoint, None, [f"data.folds.index={fold}"])
        split = split_data(load_records(config.data, progress=False), config.data)
        folder = work / f"fold{fold}" / "test"
        rows, wrong = [], {"benign", "malignant"}
        for record in split.test:
            p = 0.7 if (record.label == "malignant") != (record.label in wrong) else 0.3
            wrong.discard(record.label)
            probabilities = {f"probability_{name}": q for name, q in zip(NAMES, (0.9 - p, p, 0.1), strict=True)}
            rows.append(
                {
                    "image": record.name,
                    "label": record.label,
                    "predicted": "malignant" if p > 0.5 else "benign",
                    **probabilities,
                    "dataset": record.dataset,
                    "group": record.group,
                }
            )
            mask = read_merged_mask(record.masks, (64, 64))
            gray = np.where(mask, 77, 51).astype(np.uint8)
            write_png(probability_path(folder, record.dataset, record.name), gray)
        write_csv(folder / "cases.csv", rows)
        facts = {
            "n": len(rows),
            "model": "acsnet",
            "class_names": list(NAMES),
            "subset": "test",
            "dataset_hash": f"images of fold {fold}",
            "split_hash": split.hash,
            "checkpoint": "best.safetensors",
            "checkpoint_sha256": "0" * 64,
            "checkpoint_split_hash": split.hash,
            "selection": "selected on the validation subset",
            "evaluation": config.evaluation.model_dump(mode="json"),
        }
        write_json(folder / "metrics.json", facts)
    return work


@pytest.fixture
def folds(made_up_folds: Path, tmp_path: Path) -> Path:
    """A copy of ``made_up_folds``, to be changed."""
    return Path(shutil.copytree(made_up_folds, tmp_path / "folds"))


def change(folder: Path, **facts: Any) -> None:
    """Change entries of metrics.json; None removes one."""
    path = folder / "metrics.json"
    content = json.loads(path.read_text()) | facts
    write_json(path, {key: value for key, value in content.items() if value is not None})


def test_out_of_fold_predictions(checkpoint: Checkpoint, config: Config, made_up_folds: Path) -> None:
    """The test subset of the checkpoint, which is fold 0, is left out."""
    points = calibrate_checkpoint(checkpoint, config, [made_up_folds], ["specificity_50"], progress=False)
    records = load_records(config.data, progress=False)
    split = split_data(records, config.data)
    expected = Counter(record.label for record in [*split.train, *split.val])
    assert points.classes == {name: expected[name] for name in NAMES}
    assert points.images == len(records) - len(split.test)
    malignant, others = expected["malignant"], expected["benign"] + expected["normal"]
    point = points.points["specificity_50"]
    # One malignant and one benign image of each of the three other folds are on the wrong side.
    assert point.sensitivity.value == pytest.approx((malignant - 3) / malignant)
    assert point.specificity.value == pytest.approx((others - 3) / others)
    assert points.source == "out-of-fold predictions of 4 trainings"
    assert len(points.split_hashes) == FOLDS
    assert points.weights_sha256 == weights_sha256(checkpoint.path)
    # Of 0.25 and 0.3, which are above 51 / 255 and at most 77 / 255, 0.3 is nearer to 0.5.
    assert points.mask_threshold == 0.3


def test_folders_and_tables_name_the_same_tests(checkpoint: Checkpoint, config: Config, made_up_folds: Path) -> None:
    tests = [made_up_folds / f"fold{fold}" / "test" for fold in range(FOLDS)]
    whole = calibrate_checkpoint(checkpoint, config, [made_up_folds], progress=False, points=())
    assert calibrate_checkpoint(checkpoint, config, [*reversed(tests)], progress=False, points=()) == whole
    tables = [test / "cases.csv" for test in tests]
    assert calibrate_checkpoint(checkpoint, config, tables, progress=False, points=()) == whole


def test_without_saved_masks_there_is_no_mask_threshold(checkpoint: Checkpoint, config: Config, folds: Path) -> None:
    shutil.rmtree(folds / "fold2" / "test" / "probabilities")
    assert calibrate_checkpoint(checkpoint, config, [folds], progress=False, points=()).mask_threshold is None


def test_only_some_classes(checkpoint: Checkpoint, trained_run: Path, made_up_folds: Path) -> None:
    config = resolve_test_config(checkpoint, None, ["evaluation.classes=[benign, malignant]"])
    points = calibrate_checkpoint(checkpoint, config, [made_up_folds], ["specificity_50"], progress=False)
    assert [*points.classes] == ["benign", "malignant"]
    # P(malignant) is 0.7 / 0.9 and 0.3 / 0.9 before the temperature, with logits +-ln(7 / 2) and -+ln 2.
    assert 0.3 < points.points["specificity_50"].threshold < 0.8


def test_in_fold_predictions_are_refused(checkpoint: Checkpoint, config: Config, folds: Path) -> None:
    test = folds / "fold1" / "test"
    refused = rf"{re.escape(str(test))} cannot be used to choose operating points: "

    def calibrate() -> None:
        calibrate_checkpoint(checkpoint, config, [folds], progress=False, points=())

    split_hash = json.loads((test / "metrics.json").read_text())["split_hash"]
    for subset in ("train", "val", "all"):
        change(test, subset=subset)
        with pytest.raises(RunError, match=refused + f"it is a test of the subset {subset}, and only predictions of"):
            calibrate()
    change(test, subset="test", checkpoint_split_hash="f" * 16)
    with pytest.raises(RunError, match=refused + rf"the network was trained on the split {'f' * 16} and tested on the"):
        calibrate()
    change(test, checkpoint_split_hash=None)
    with pytest.raises(RunError, match=refused + "the split of its training is unknown, so that tested images may"):
        calibrate()
    change(test, checkpoint_split_hash=split_hash, selection="selected on the test subset")
    with pytest.raises(RunError, match=refused + "its epoch was selected on the tested images"):
        calibrate()
    change(test, selection="selected on the validation subset")
    calibrate()


def test_earlier_tests_are_checked_by_the_checkpoint_above_them(
    checkpoint: Checkpoint, config: Config, folds: Path
) -> None:
    """``metrics.json`` of earlier versions has no split of the training."""
    for fold in range(FOLDS):
        test = folds / f"fold{fold}" / "test"
        split_hash = json.loads((test / "metrics.json").read_text())["split_hash"]
        metadata = checkpoint.metadata.model_copy(update={"split_hash": split_hash})
        save_checkpoint(test.parent / "best.safetensors", {}, metadata)
        sha256 = open_checkpoint(test.parent / "best.safetensors").sha256
        change(test, checkpoint_split_hash=None, checkpoint_sha256=sha256)
    assert calibrate_checkpoint(checkpoint, config, [folds], progress=False, points=()).images
    change(folds / "fold3" / "test", checkpoint_sha256="1" * 64)
    with pytest.raises(RunError, match="the split of its training is unknown"):
        calibrate_checkpoint(checkpoint, config, [folds], progress=False, points=())


def test_predictions_of_something_else_are_refused(checkpoint: Checkpoint, config: Config, folds: Path) -> None:
    test = folds / "fold1" / "test"

    def calibrate(*paths: Path) -> None:
        calibrate_checkpoint(checkpoint, config, paths or [folds], progress=False, points=())

    with pytest.raises(
        RunError, match=r"fold1 has no test results: pass a folder with metrics\.json and cases\.csv, or"
    ):
        calibrate(folds / "fold1")
    with pytest.raises(RunError, match=r"was tested more than once on .* and no fold twice"):
        calibrate(folds, folds / "fold1" / "test")
    with pytest.raises(RunError, match="of the test subset of the checkpoint, so that none is left: pass all folds"):
        calibrate(folds / "fold0" / "test")
    change(test, model="unet")
    with pytest.raises(RunError, match="is a test of the network unet, the checkpoint is of acsnet: pass tests of"):
        calibrate()
    evaluation = config.evaluation.model_dump(mode="json") | {"operating_point": "specificity_90"}
    change(test, model="acsnet", evaluation=evaluation)
    with pytest.raises(RunError, match=r"tested with other settings .*: operating_point "):
        calibrate()


def test_the_validation_subset(
    checkpoint: Checkpoint, config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    split = split_data(load_records(config.data, progress=False), config.data)
    with pytest.raises(InputError, match=r"at least 9 of each are needed; pass the tests of all folds of a"):
        calibrate_checkpoint(checkpoint, config, progress=False)
    monkeypatch.setattr(operating_points, "MIN_IMAGES", 1)
    points = calibrate_checkpoint(checkpoint, config, progress=False, points=())
    counts = Counter(record.label for record in split.val)
    assert points.classes == {name: counts[name] for name in NAMES}
    assert points.split_hashes == (split.hash,) == (checkpoint.metadata.split_hash,)
    assert points.source == "validation subset of the training"
    predictor = Predictor.from_checkpoint(checkpoint)
    images = [read_image(record.image) for record in split.val]
    truths = [read_merged_mask(record.masks, (64, 64)) for record in split.val]
    pairs = [*zip(predictor.probabilities(images), truths, strict=True)]
    dice = np.array([dice_per_threshold(predictor.decide, probability, truth) for probability, truth in pairs])
    assert points.mask_threshold == THRESHOLDS[stable_step(dice)]


def test_unknown_validation_subsets(checkpoint: Checkpoint, trained_run: Path, tmp_path: Path) -> None:
    def calibrate(*overrides: str, **fields: Any) -> None:
        metadata = checkpoint.metadata.model_copy(update=fields)
        save_checkpoint(tmp_path / "a.safetensors", read_weights(checkpoint.path), metadata)
        other = open_checkpoint(tmp_path / "a.safetensors")
        config = resolve_test_config(other, trained_run / "config.yaml", overrides)
        calibrate_checkpoint(other, config, progress=False)

    with pytest.raises(ConfigError, match="has no split hash, so its validation subset is unknown: pass the"):
        calibrate(split_hash=None)
    with pytest.raises(ConfigError, match="no validation subset of its own, its epoch was selected on"):
        calibrate(selected_on="test")
    with pytest.raises(ConfigError, match=r"was trained on the split \w+, this one is \w+: name the data"):
        calibrate("data.folds.index=2")


def test_a_calibrated_copy(
    checkpoint: Checkpoint, config: Config, made_up_folds: Path, tmp_path: Path, phantom_root: Path
) -> None:
    points = calibrate_checkpoint(checkpoint, config, [made_up_folds], ["specificity_50"], progress=False)
    path = tmp_path / "points.safetensors"
    write_calibrated(checkpoint, points, path)
    assert read_metadata(path) == checkpoint.metadata.model_copy(update={"operating_points": points})
    assert weights_sha256(path) == weights_sha256(checkpoint.path)
    before, after = read_weights(checkpoint.path), read_weights(path)
    assert before.keys() == after.keys()
    assert all(before[key].equal(after[key]) for key in before)
    with pytest.raises(CheckpointError, match=r"points\.safetensors exists: choose another name by --out, or"):
        write_calibrated(checkpoint, points, path)
    with pytest.raises(CheckpointError, match=r"--out is .*a\.pt: the name of a checkpoint ends in \.safetensors"):
        write_calibrated(checkpoint, points, tmp_path / "a.pt")
    other = points.model_copy(update={"temperature": 3.0})
    write_calibrated(open_checkpoint(path), other, path, overwrite=True)
    assert open_checkpoint(path).metadata.operating_points == other
    image = phantom_root / "malignant" / "malignant (1).png"
    predictor = Predictor.from_checkpoint(path, operating_point="specificity_50")
    threshold = points.points["specificity_50"].threshold
    prediction = predictor(image)
    assert (prediction.label == "malignant") == (prediction.probabilities["malignant"] >= threshold)


def test_the_tools(
    checkpoint: Checkpoint, trained_run: Path, made_up_folds: Path, tmp_path: Path, phantom_root: Path, invoke: Invoke
) -> None:
    """Calibrate, test and predict by the command line."""
    out = tmp_path / "points.safetensors"
    options = ("--checkpoint", checkpoint.path, "--predictions", made_up_folds, "--points", "specificity_50")
    status, output, error = invoke("calibrate", *options, "--out", out)
    assert (status, error) == (0, "")
    assert "out-of-fold predictions of 4 trainings" in output
    assert invoke("calibrate", *options, "--out", out)[0] == 2
    data = ("--set", f"data.root={phantom_root}", "--config", trained_run / "config.yaml")
    status, output, _ = invoke(
        "test", "--checkpoint", out, "--operating-point", "specificity_50", *data, "--out", tmp_path / "test"
    )
    assert status == 0
    assert "sensitivity, tested" in output
    facts = json.loads((tmp_path / "test" / "metrics.json").read_text())
    points = open_checkpoint(out).metadata.operating_points
    assert facts["evaluation"]["operating_point"] == "specificity_50"
    assert (facts["threshold"], facts["threshold_source"]) == (0.3, "operating point")
    tested = facts["operating_points"]["points"]["specificity_50"]["tested"]
    for key in ("sensitivity", "specificity"):
        assert tested[key]["value"] == pytest.approx(facts["classification"][key])
    status, _, _ = invoke("test", "--checkpoint", out, *data, "--out", tmp_path / "plain")
    plain = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert plain["operating_points"] == facts["operating_points"]
    assert plain["threshold_source"] == "configuration"
    image = phantom_root / "benign" / "benign (1).png"
    predict = ("predict", "--checkpoint", out, image, "--out", tmp_path / "p", "--operating-point")
    assert invoke(*predict, "specificity_50")[0] == 0
    row = (tmp_path / "p" / "predictions.csv").read_text().splitlines()[1]
    assert f"specificity_50,{points.points['specificity_50'].threshold}" in row
    status, _, error = invoke(*predict, "specificity_55", "--overwrite")
    assert (status, error.count("\n")) == (2, 1)
    assert "unknown operating point 'specificity_55': did you mean 'specificity_50'?" in error
    status, _, error = invoke("predict", "--checkpoint", out, image, "--classes", "benign", "--out", tmp_path / "q")
    assert status == 2
    assert "evaluation.classes has only benign: name at least two classes" in error
    assert (
        invoke("predict", "--checkpoint", out, "--classes", "benign,malignant", image, "--out", tmp_path / "q")[0] == 0
    )
    header = (tmp_path / "q" / "predictions.csv").read_text().splitlines()[0]
    assert header.startswith("image,predicted,probability_benign,probability_malignant,mask_area")


def test_renormalized_tests(checkpoint: Checkpoint, trained_run: Path, tmp_path: Path, phantom_root: Path) -> None:
    """A set without normal cases, with and without ``evaluation.classes``."""
    for name in ("benign", "malignant"):
        shutil.copytree(phantom_root / name, tmp_path / "set" / name)
    overrides = [f"data.root={tmp_path / 'set'}", "data.split=all", "data.classes=[benign, malignant]"]
    config = resolve_test_config(checkpoint, None, overrides)
    result, provenance = run_test(checkpoint, config, progress=False)
    unasked = result.metrics["classification_renormalized"]
    assert (unasked["classes"], unasked["n"]) == (["benign", "malignant"], 26)
    asked, asked_provenance = run_test(
        checkpoint, resolve_test_config(checkpoint, None, [*overrides, "evaluation.classes=[malignant, benign]"]), False
    )
    assert "classification_renormalized" not in asked.metrics
    for key in ("accuracy", "auroc_malignant", "sensitivity", "specificity"):
        assert asked.metrics["classification"][key] == pytest.approx(unasked[key])
    assert (asked_provenance["class_names"], provenance["class_names"]) == ([*NAMES[:2]], [*NAMES])
    for row, other in zip(asked.cases, result.cases, strict=True):
        total = other["probability_benign"] + other["probability_malignant"]
        assert row["probability_malignant"] == pytest.approx(other["probability_malignant"] / total)
        assert row["predicted"] == max(NAMES[:2], key=lambda name: other[f"probability_{name}"])


def test_images_of_other_classes_are_refused(checkpoint: Checkpoint, config: Config) -> None:
    config = resolve_test_config(checkpoint, None, ["evaluation.classes=[benign, malignant]"])
    message = r"\d of the \d+ tested images are of classes that are not evaluated \(\d normal; evaluated are"
    with pytest.raises(InputError, match=message):
        run_test(checkpoint, config, progress=False)


def test_a_network_without_classes_has_no_operating_points(
    checkpoint: Checkpoint, config: Config, tmp_path: Path
) -> None:
    arguments = checkpoint.metadata.arguments | {"tasks": ["segmentation"]}
    metadata = checkpoint.metadata.model_copy(update={"arguments": arguments})
    save_checkpoint(tmp_path / "masks.safetensors", read_weights(checkpoint.path), metadata)
    message = r"^the network of .*masks\.safetensors predicts no classes, and has no operating points: name a check"
    with pytest.raises(InputError, match=message):
        calibrate_checkpoint(open_checkpoint(tmp_path / "masks.safetensors"), config, progress=False)


def test_calibration_on_images_of_no_evaluated_class_is_refused(
    checkpoint: Checkpoint, made_up_folds: Path, phantom_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_up_folds, tmp_path / "folds")
    for table in (tmp_path / "folds").glob("fold*/test/cases.csv"):
        table.write_text(re.sub(r",(benign|malignant),", ",normal,", table.read_text()))
    config = resolve_test_config(checkpoint, None, ["evaluation.classes=[benign, malignant]"])
    with pytest.raises(InputError, match=r"^no image is of the classes benign, malignant, so that operating points c"):
        calibrate_checkpoint(checkpoint, config, predictions=[tmp_path / "folds"], progress=False)


def test_two_mask_thresholds_exclude_each_other(checkpoint: Checkpoint) -> None:
    overrides = ["evaluation.threshold=validation", "evaluation.operating_point=specificity_90", "data.root=/nowhere"]
    config = resolve_test_config(checkpoint, None, overrides)
    with pytest.raises(ConfigError, match="threshold is validation, but an operating point has its own"):
        run_test(checkpoint, config, progress=False)
