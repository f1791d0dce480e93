from pathlib import Path

import pytest

from acsnet.checkpoints import OperatingPoint, OperatingPoints, Rate, open_checkpoint, read_index, rewrite_metadata
from acsnet.evaluation import resolve_test_config, run_test
from scripts.release import add_test, check_release, release_checkpoint, reproduce_results

RATE = Rate(value=0.9, low=0.75, high=0.96, n=30)


@pytest.fixture
def calibrated(clone: Path, trained_run: Path) -> Path:
    """The folder of the index, with a released checkpoint that has operating points."""
    source = open_checkpoint(trained_run / "best.safetensors")
    point = OperatingPoint(threshold=0.3, aim="specificity", target=0.9, sensitivity=RATE, specificity=RATE)
    points = OperatingPoints(
        temperature=1.5,
        negative_log_likelihood=(0.6, 0.5),
        mask_threshold=0.4,
        points={"specificity_90": point},
        classes={"benign": 20, "malignant": 30, "normal": 10},
        source="out-of-fold predictions of 5 trainings",
    )
    path = clone / "calibrated.safetensors"
    rewrite_metadata(source.path, path, source.metadata.model_copy(update={"operating_points": points}))
    release_checkpoint(path, "tiny", Path("configs/tiny.yaml"), [], "CC-BY-4.0", [], clone / "checkpoints")
    return clone / "checkpoints"


def test_model_cards_show_operating_points(calibrated: Path) -> None:
    """Those of the released file, on the tested images; a test at a point names it."""
    checkpoint = open_checkpoint("tiny")
    assert checkpoint.metadata.operating_points is not None
    for overrides in ([], ["evaluation.operating_point=specificity_90"]):
        result, provenance = run_test(checkpoint, resolve_test_config(checkpoint, None, overrides), progress=False)
        result.write(calibrated.parent / "results", provenance)
        add_test("tiny", calibrated.parent / "results", [], calibrated)
    plain, at_point = read_index().checkpoints["tiny"].tests
    assert plain.operating_points == at_point.operating_points
    point = plain.operating_points.points["specificity_90"]
    assert (point.threshold, point.chosen["sensitivity"]) == (0.3, RATE)
    sensitivity = result.metrics["classification"]["sensitivity"]
    assert point.tested["sensitivity"].value == pytest.approx(sensitivity)
    assert at_point.overrides == ('evaluation.operating_point="specificity_90"',)
    text = (calibrated / "README.md").read_text()
    assert (
        "Operating points, chosen on the out-of-fold predictions of 5 trainings (20 benign, 30 malignant, 10 normal); "
        "temperature 1.5;\nmask threshold 0.4." in text
    )
    assert f"| `specificity_90` | 0.300 | 0.900 [0.750, 0.960] | 0.900 [0.750, 0.960] | {sensitivity:.3f} [" in text
    assert "operating_point: specificity_90" in text
    assert check_release(calibrated) == []
    assert reproduce_results(["tiny"], [], calibrated, progress=False) == []
