import logging
from pathlib import Path

import numpy as np
import pytest

from acsnet.checkpoints import read_metadata, read_weights, save_checkpoint
from acsnet.config import EvaluationConfig
from acsnet.data import load_records, split_records
from acsnet.data.images import read_image, read_merged_mask
from acsnet.errors import ConfigError
from acsnet.evaluation import resolve_test_config, run_test
from acsnet.inference import Predictor
from acsnet.metrics.segmentation import dice_score

CHOSEN = "evaluation.threshold=validation"
UNKNOWN = "evaluation.threshold is validation, but which images are the checkpoint's validation subset is not known: "


def test_the_threshold_is_chosen_on_the_validation_part(trained_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Against one predictor a threshold, on the validation images alone."""
    checkpoint = trained_run / "best.safetensors"
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


def _refining() -> list[str]:
    return ["evaluation.refining.empty_mask_for_normal=true"]


def test_without_a_split_there_is_no_validation_part(trained_run: Path, tmp_path: Path) -> None:
    """Said before any image is read: the data is not even there."""
    checkpoint = trained_run / "best.safetensors"
    config = resolve_test_config(checkpoint, None, [CHOSEN, "data.split=all", "data.root=/nowhere"])
    with pytest.raises(ConfigError, match=UNKNOWN + r"data\.split is all, which is no part of a split; give a number"):
        run_test(checkpoint, config, progress=False)
    metadata = read_metadata(checkpoint).model_copy(update={"split_hash": None})
    save_checkpoint(tmp_path / "a.safetensors", read_weights(checkpoint), metadata)
    config = resolve_test_config(
        tmp_path / "a.safetensors", trained_run / "config.yaml", [CHOSEN, "data.root=/nowhere"]
    )
    with pytest.raises(ConfigError, match=UNKNOWN + r".*a\.safetensors names no split; give a number, or test a part"):
        run_test(tmp_path / "a.safetensors", config, progress=False)


def test_of_another_split_the_validation_part_is_unknown(trained_run: Path) -> None:
    checkpoint = trained_run / "best.safetensors"
    config = resolve_test_config(checkpoint, None, [CHOSEN, "data.folds.index=1"])
    trained_on = read_metadata(checkpoint).split_hash
    with pytest.raises(
        ConfigError, match=UNKNOWN + rf"it was trained on the split {trained_on}, here is \w{{16}}; give"
    ):
        run_test(checkpoint, config, progress=False)


def test_a_listed_split_is_tested_as_listed(trained_run: Path, tmp_path: Path) -> None:
    """And of all images those that are not listed too."""
    checkpoint = trained_run / "best.safetensors"
    lines = (trained_run / "split.csv").read_text().splitlines(keepends=True)
    tested = [line.split(",")[1] for line in lines if line.endswith(",test\n")]
    left_out = next(line for line in lines if line.endswith(",train\n"))
    (tmp_path / "split.csv").write_text("".join(line for line in lines if line != left_out))
    config = resolve_test_config(checkpoint, None, [f"data.split_file={tmp_path / 'split.csv'}"])
    result, provenance = run_test(checkpoint, config, progress=False)
    assert [case["image"] for case in result.cases] == tested
    assert (provenance["parts"], provenance["folds"]) == ("split.csv", None)
    everything = resolve_test_config(checkpoint, None, [f"data.split_file={tmp_path / 'split.csv'}", "data.split=all"])
    result, provenance = run_test(checkpoint, everything, progress=False)
    assert len(result.cases) == len(lines) - 1
    assert (provenance["parts"], provenance["split_hash"]) == (None, None)


def test_choosing_and_testing_on_the_same_images_is_pointed_out(
    trained_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = trained_run / "best.safetensors"
    run_test(checkpoint, resolve_test_config(checkpoint, None, ["data.split=val"]), progress=False)
    assert "better than they should" not in caplog.text
    run_test(checkpoint, resolve_test_config(checkpoint, None, [CHOSEN, "data.split=val"]), progress=False)
    assert "the threshold is chosen on the images that are tested" in caplog.text


def test_everything_is_done_as_configured(trained_run: Path) -> None:
    checkpoint = trained_run / "best.safetensors"
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
