import math
from pathlib import Path

import numpy as np
import pytest

from acsnet import create_model
from acsnet._utils.csv_io import read_csv
from acsnet.checkpoints import CheckpointMetadata, OperatingPoint, OperatingPoints, Rate
from acsnet.config import EvaluationConfig
from acsnet.errors import InputError, UnknownNameError
from acsnet.inference import Decision, Predictor, Probabilities, predict_files
from acsnet.inference.class_decision import adjust_probabilities, decide_classes

NAMES = ("benign", "malignant", "normal")
RATE = Rate(value=0.9, low=0.8, high=0.95, n=20)


def make_points(
    threshold: float = 0.25, temperature: float = 1.0, mask_threshold: float | None = None
) -> OperatingPoints:
    point = OperatingPoint(threshold=threshold, aim="specificity", target=0.9, sensitivity=RATE, specificity=RATE)
    return OperatingPoints(
        temperature=temperature,
        negative_log_likelihood=(0.6, 0.5),
        mask_threshold=mask_threshold,
        points={"specificity_90": point},
        classes={"benign": 20, "malignant": 20, "normal": 5},
        source="validation subset of the training",
    )


def decide(
    label: list[float], points: OperatingPoints | None = None, **settings: object
) -> tuple[str, dict[str, float]]:
    decision = Decision(NAMES, EvaluationConfig(**settings), points)
    prediction = decision(Probabilities(None, np.array(label, np.float32)))
    assert prediction.probabilities is not None
    return str(prediction.label), prediction.probabilities


def test_the_temperature_divides_logits() -> None:
    logits = np.array([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    divided = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(adjust_probabilities(softmax, 2.5), divided, rtol=1e-12)
    np.testing.assert_array_equal(adjust_probabilities(softmax), softmax)


def test_renormalization_by_hand() -> None:
    selected = ("benign", "malignant")
    np.testing.assert_allclose(adjust_probabilities([0.1, 0.3, 0.6], 1.0, NAMES, selected), [0.25, 0.75])
    # At temperature 1/2 the ratio 1 : 3 becomes 1 : 9.
    np.testing.assert_allclose(adjust_probabilities([0.1, 0.3, 0.6], 0.5, NAMES, selected), [0.1, 0.9])
    np.testing.assert_allclose(adjust_probabilities([0.0, 0.0, 1.0], 1.0, NAMES, selected), [0.5, 0.5])


def test_a_probability_equal_to_the_threshold_is_malignant() -> None:
    values = [[0.5, 0.25, 0.25], [0.5, 0.24, 0.26], [0.2, 0.24, 0.56], [0.1, 0.8, 0.1]]
    assert decide_classes(values, NAMES, 0.25).tolist() == [1, 0, 2, 1]
    assert decide_classes(values, NAMES, 0.9).tolist() == [0, 0, 2, 0]
    assert decide_classes(values, NAMES).tolist() == [0, 0, 2, 1]


def test_decisions_at_an_operating_point() -> None:
    points = make_points(0.25)
    assert decide([0.6, 0.3, 0.1])[0] == "benign"
    assert decide([0.6, 0.3, 0.1], points)[0] == "benign"
    assert decide([0.6, 0.3, 0.1], points, operating_point="specificity_90")[0] == "malignant"
    assert decide([0.3, 0.2, 0.5], points, operating_point="specificity_90")[0] == "normal"
    # The temperature comes first: at 1/2, the squares 0.36, 0.09 and 0.01 are divided by 0.46.
    label, probabilities = decide([0.6, 0.3, 0.1], make_points(0.25, 0.5), operating_point="specificity_90")
    assert label == "benign"
    assert probabilities["malignant"] == pytest.approx(0.09 / 0.46, rel=1e-6)


def test_some_classes_in_the_order_of_the_network() -> None:
    label, probabilities = decide([0.1, 0.3, 0.6], classes=["malignant", "benign"])
    assert label == "malignant"
    assert [*probabilities] == ["benign", "malignant"]
    assert probabilities["malignant"] == pytest.approx(0.75, rel=1e-6)


def test_an_image_that_the_point_calls_malignant_keeps_its_mask() -> None:
    """Prediction refining empties the masks of images that are decided to be normal, not of the most probable ones."""
    refining = {"empty_mask_for_normal": True}
    probabilities = Probabilities(np.ones((2, 2), np.float32), np.array([0.1, 0.4, 0.5], np.float32))
    settings = EvaluationConfig(refining=refining)
    assert not Decision(NAMES, settings, make_points())(probabilities).mask.any()
    settings = EvaluationConfig(refining=refining, operating_point="specificity_90")
    prediction = Decision(NAMES, settings, make_points())(probabilities)
    assert (prediction.label, prediction.mask.all()) == ("malignant", True)


def test_wrong_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown class in evaluation.classes 'malignent': did you mean 'mal"):
        Decision(NAMES, EvaluationConfig(classes=["benign", "malignent"]))
    with pytest.raises(ValueError, match=r"classes is \['benign'\]: name at least two classes, each once"):
        EvaluationConfig(classes=["benign"])
    with pytest.raises(ValueError, match="name at least two classes, each once"):
        EvaluationConfig(classes=["benign", "benign"])
    with pytest.raises(InputError, match="the checkpoint has no operating point 'specificity_90': choose operating"):
        Decision(NAMES, EvaluationConfig(operating_point="specificity_90"))
    with pytest.raises(
        UnknownNameError, match="unknown operating point 'specificity90': did you mean 'specificity_90'"
    ):
        Decision(NAMES, EvaluationConfig(operating_point="specificity90"), make_points())
    settings = EvaluationConfig(classes=["benign", "normal"], operating_point="specificity_90")
    with pytest.raises(InputError, match="decides on 'malignant', which is not one of the classes"):
        Decision(NAMES, settings, make_points())
    with pytest.raises(InputError, match="needs a class 'normal', the classes of the evaluation are benign, malignant"):
        Decision(NAMES, EvaluationConfig(classes=NAMES[:2], refining={"normal_for_empty_mask": True}))


@pytest.fixture
def predictor_at(caplog: pytest.LogCaptureFixture) -> Predictor:
    metadata = CheckpointMetadata(
        model="unet",
        arguments={"width": 4, "depth": 2},
        class_names=NAMES,
        input_size=(32, 32),
        mean=(0.33,),
        std=(0.2,),
        operating_points=make_points(0.0, 2.0, 0.85),
    )
    return Predictor(create_model("unet", width=4, depth=2), metadata, operating_point="specificity_90")


def test_the_predictor_uses_everything_of_the_point(predictor_at: Predictor, phantom_root: Path) -> None:
    plain = Predictor(predictor_at.model, predictor_at.metadata)
    assert (plain.operating_point, plain.evaluation.threshold) == (None, 0.5)
    assert predictor_at.operating_point == predictor_at.metadata.operating_points.points["specificity_90"]
    assert predictor_at.evaluation.threshold == 0.85
    assert predictor_at.with_threshold(0.3).evaluation.threshold == 0.3
    assert predictor_at.with_threshold(0.3).operating_point == predictor_at.operating_point
    path = phantom_root / "benign" / "benign (1).png"
    before, after = plain(path), predictor_at(path)
    assert after.label == "malignant"
    assert after.mask.tolist() == (before.mask_probability >= 0.85).tolist()
    roots = {name: math.sqrt(value) for name, value in before.probabilities.items()}
    expected = {name: root / sum(roots.values()) for name, root in roots.items()}
    assert after.probabilities == pytest.approx(expected)


def test_other_classes_than_those_of_the_choice_are_logged(
    predictor_at: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    assert not caplog.records
    settings = EvaluationConfig(classes=NAMES[:2])
    Predictor(predictor_at.model, predictor_at.metadata, evaluation=settings)
    assert not caplog.records
    Predictor(predictor_at.model, predictor_at.metadata, evaluation=settings, operating_point="specificity_90")
    assert "chosen on probabilities of benign, malignant, normal, not of benign, malignant: its" in caplog.text


def test_predictions_name_the_operating_point(predictor_at: Predictor, phantom_root: Path, tmp_path: Path) -> None:
    inputs = [phantom_root / "benign" / "benign (1).png"]
    table = predict_files(predictor_at, inputs, tmp_path / "at", progress=False)
    columns, rows = read_csv(table, "")
    assert columns[5:8] == ["operating_point", "malignant_threshold", "mask_area_fraction"]
    assert (rows[0][1]["operating_point"], rows[0][1]["malignant_threshold"]) == ("specificity_90", "0.0")
    plain = Predictor(predictor_at.model, predictor_at.metadata)
    columns, _ = read_csv(predict_files(plain, inputs, tmp_path / "plain", progress=False), "")
    assert "operating_point" not in columns
