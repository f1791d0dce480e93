import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from acsnet import create_model
from acsnet.checkpoints import open_checkpoint, read_metadata, read_weights, save_checkpoint
from acsnet.config import EvaluationConfig
from acsnet.data import load_records, split_records
from acsnet.data.images import read_image, read_merged_mask
from acsnet.errors import ConfigError, InputError
from acsnet.evaluation import metric_table, resolve_test_config, run_test
from acsnet.inference import Predictor
from acsnet.metrics.segmentation import dice_score

CHOSEN = "evaluation.threshold=validation"
UNKNOWN = "evaluation.threshold is validation, but the checkpoint's validation subset is unknown: "


def test_the_threshold_is_chosen_on_the_validation_subset(trained_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Compared with one predictor per threshold, on the validation images only."""
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(checkpoint, None, [CHOSEN, "evaluation.refining.empty_mask_for_normal=true"])
    with caplog.at_level(logging.INFO, logger="acsnet"):
        result, provenance = run_test(checkpoint, config, progress=False)
    val = split_records(load_records(config.data, progress=False), config.data.folds).val

    def mean_dice(step: int) -> float:
        settings = config.evaluation.model_copy(update={"threshold": step / 20})
        predictor = Predictor.from_checkpoint(checkpoint, evaluation=settings)
        images = [read_image(record.image) for record in val]
        truths = [read_merged_mask(r.masks, image.shape[:2]) for r, image in zip(val, images, strict=True)]
        pairs = zip(predictor.predict(images), truths, strict=True)
        return float(np.mean([dice_score(prediction.mask, truth) for prediction, truth in pairs]))

    scores = {step: mean_dice(step) for step in range(1, 20)}
    best = max(scores.values())
    nearest = min((abs(step - 10), step) for step, score in scores.items() if score == pytest.approx(best, abs=1e-9))[1]
    assert provenance["threshold"] == pytest.approx(nearest / 20)
    assert provenance["threshold_source"] == "validation subset"
    assert provenance["evaluation"]["threshold"] == "validation"
    assert f"threshold {nearest / 20:.2f}: mean Dice {best:.4f} on the {len(val)} images" in caplog.text
    given = resolve_test_config(checkpoint, None, [f"evaluation.threshold={nearest / 20}", *_refining()])
    again, by_number = run_test(checkpoint, given, progress=False)
    assert again.cases == result.cases
    assert (by_number["threshold"], by_number["threshold_source"]) == (nearest / 20, "configuration")


def test_the_paths_in_a_checkpoint_are_not_followed(trained_run: Path, tmp_path: Path) -> None:
    trained = read_metadata(trained_run / "best.safetensors")
    paths = {"root": "/etc", "cache": "/etc/cache", "image_list": "/etc/passwd", "split_file": "/etc/split.csv"}
    config = {**trained.config, "data": {**trained.config["data"], **paths}}
    config["model"] = {**config["model"], "initial_weights": "/etc/passwd"}
    path = tmp_path / "crafted.safetensors"
    weights = read_weights(trained_run / "best.safetensors")
    save_checkpoint(path, weights, trained.model_copy(update={"config": config}))
    resolved = resolve_test_config(open_checkpoint(path), None, [])
    assert "etc" not in resolved.to_yaml()
    named = {**config, "data": {**config["data"], "split_file": "busi_split"}}
    save_checkpoint(path, weights, trained.model_copy(update={"config": named}))
    resolved = resolve_test_config(open_checkpoint(path), None, ["data.root=/images"])
    assert (resolved.data.split_file, resolved.data.root) == (Path("busi_split"), Path("/images"))


def _refining() -> list[str]:
    return ["evaluation.refining.empty_mask_for_normal=true"]


def test_without_a_split_there_is_no_validation_subset(trained_run: Path, tmp_path: Path) -> None:
    """Checked before any image is read: the data folder does not exist."""
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(checkpoint, None, [CHOSEN, "data.split=all", "data.root=/nowhere"])
    with pytest.raises(
        ConfigError, match=UNKNOWN + r"data\.split is all, which is not a subset of a split; give a number"
    ):
        run_test(checkpoint, config, progress=False)
    metadata = checkpoint.metadata.model_copy(update={"split_hash": None})
    save_checkpoint(tmp_path / "a.safetensors", read_weights(checkpoint.path), metadata)
    other = open_checkpoint(tmp_path / "a.safetensors")
    config = resolve_test_config(other, trained_run / "config.yaml", [CHOSEN, "data.root=/nowhere"])
    with pytest.raises(
        ConfigError, match=UNKNOWN + r".*a\.safetensors has no split hash; give a number, or test a subset"
    ):
        run_test(other, config, progress=False)


def test_the_validation_subset_of_another_split_is_unknown(trained_run: Path) -> None:
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(checkpoint, None, [CHOSEN, "data.folds.index=1"])
    trained_on = checkpoint.metadata.split_hash
    with pytest.raises(
        ConfigError, match=UNKNOWN + rf"it was trained on the split {trained_on}, this one is \w{{16}}; give"
    ):
        run_test(checkpoint, config, progress=False)


def test_a_listed_split_is_tested_as_listed(trained_run: Path, tmp_path: Path) -> None:
    """A test of all images includes those that are not listed."""
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    lines = (trained_run / "split.csv").read_text().splitlines(keepends=True)
    tested = [line.split(",")[1] for line in lines if line.endswith(",test\n")]
    left_out = next(line for line in lines if line.endswith(",train\n"))
    (tmp_path / "split.csv").write_text("".join(line for line in lines if line != left_out))
    config = resolve_test_config(checkpoint, None, [f"data.split_file={tmp_path / 'split.csv'}"])
    result, provenance = run_test(checkpoint, config, progress=False)
    assert [case["image"] for case in result.cases] == tested
    assert (provenance["split_file"], provenance["folds"]) == ("split.csv", None)
    lists = [f"data.split_file={tmp_path / 'split.csv'}", f"data.image_list={tmp_path / 'images.csv'}"]
    everything = resolve_test_config(checkpoint, None, [*lists, "data.split=all"])
    result, provenance = run_test(checkpoint, everything, progress=False)
    assert len(result.cases) == len(lines) - 1
    assert (provenance["split_file"], provenance["split_hash"]) == (None, None)


def test_choosing_and_testing_on_the_same_images_is_logged(trained_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    run_test(checkpoint, resolve_test_config(checkpoint, None, ["data.split=val"]), progress=False)
    assert "chosen on the tested images" not in caplog.text
    run_test(checkpoint, resolve_test_config(checkpoint, None, [CHOSEN, "data.split=val"]), progress=False)
    assert "the threshold is chosen on the tested images" in caplog.text


def test_everything_is_done_as_configured(trained_run: Path) -> None:
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(
        checkpoint,
        None,
        [
            "evaluation.test_time_augmentation={horizontal_flip: true, scales: [1, 1.5]}",
            "evaluation.postprocessing={minimum_area: 0.01, fill_holes: true}",
            "evaluation.threshold=0.4",
        ],
    )
    result, provenance = run_test(checkpoint, config, progress=False)
    assert EvaluationConfig.model_validate(provenance["evaluation"]) == config.evaluation
    predictor = Predictor.from_checkpoint(checkpoint, evaluation=config.evaluation)
    records = split_records(load_records(config.data, progress=False), config.data.folds).test
    for record, row in zip(records, result.cases, strict=True):
        prediction = predictor(record.image)
        assert row["dice"] == pytest.approx(
            dice_score(prediction.mask, read_merged_mask(record.masks, prediction.mask.shape)), abs=0.02
        )
        assert row["predicted"] == prediction.label


@pytest.fixture
def selected_on_test(trained_run: Path, tmp_path: Path) -> Path:
    """The trained checkpoint, as if its epoch had been selected on the test subset."""
    source = trained_run / "best.safetensors"
    path = tmp_path / "selected.safetensors"
    metadata = read_metadata(source).model_copy(update={"selected_on": "test"})
    save_checkpoint(path, read_weights(source), metadata)
    return path


def test_an_epoch_selected_on_the_tested_images_is_stamped(
    selected_on_test: Path, trained_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    honest, stamped = open_checkpoint(trained_run / "best.safetensors"), open_checkpoint(selected_on_test)
    config = resolve_test_config(honest, None, [])
    assert run_test(honest, config, progress=False)[1]["selection"] == "selected on the validation subset"
    assert "too good" not in caplog.text
    for subset in ("test", "val", "all"):
        subset_config = resolve_test_config(stamped, trained_run / "config.yaml", [f"data.split={subset}"])
        result, provenance = run_test(stamped, subset_config, progress=False)
        assert provenance["selection"] == "selected on the test subset"
    assert "the epoch was selected on the test subset: the metrics are too good" in caplog.text
    table = metric_table({**result.metrics, **provenance}, provenance["class_names"])
    assert table.endswith("selected on the test subset: the metrics are too good")
    assert "too good" not in metric_table(result.metrics, provenance["class_names"])


def test_images_that_selected_nothing_are_not_stamped(
    selected_on_test: Path, trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    """The training subset, and all images of another dataset."""
    checkpoint = open_checkpoint(selected_on_test)
    shutil.copytree(phantom_root / "benign", tmp_path / "other" / "benign")
    for overrides in (["data.split=train"], ["data.split=all", f"data.root={tmp_path / 'other'}"]):
        config = resolve_test_config(checkpoint, trained_run / "config.yaml", overrides)
        assert run_test(checkpoint, config, progress=False)[1]["selection"] == "selected on the validation subset"


def test_publications_that_need_a_task_are_refused_before_the_data_is_read(trained_run: Path, tmp_path: Path) -> None:
    """Also if the configuration names more tasks than the network has: the data folder does not exist."""
    source = trained_run / "best.safetensors"
    metadata = read_metadata(source)
    arguments = {**metadata.arguments, "tasks": ["segmentation"]}
    network = create_model(metadata.model, num_classes=3, **arguments)
    save_checkpoint(
        tmp_path / "masks.safetensors", network.state_dict(), metadata.model_copy(update={"arguments": arguments})
    )
    checkpoint = open_checkpoint(tmp_path / "masks.safetensors")
    overrides = ["evaluation.published_metrics=[he2024]", "data.root=/nowhere"]
    config = resolve_test_config(checkpoint, trained_run / "config.yaml", overrides)
    with pytest.raises(
        InputError, match="the metrics of he2024 need classification, the network has only segmentation"
    ):
        run_test(checkpoint, config, progress=False)


def test_the_framing_of_the_checkpoint_is_used(trained_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = open_checkpoint(trained_run / "best.safetensors")
    config = resolve_test_config(checkpoint, None, ["data.crop_margins=true"])
    result, _ = run_test(checkpoint, config, progress=False)
    assert "data.crop_margins is true in the configuration, but false in the preprocessing of" in caplog.text
    plain, _ = run_test(checkpoint, resolve_test_config(checkpoint, None, []), progress=False)
    assert result.cases == plain.cases
