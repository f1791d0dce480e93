import numpy as np
import numpy.typing as npt
import pytest
import torch

from acsnet.config import EvaluationConfig
from acsnet.errors import InputError
from acsnet.inference import Decision, Prediction, Probabilities
from acsnet.layers import PredictionRefining

CLASSES = ("benign", "malignant", "normal")
BOTH = {"empty_mask_for_normal": True, "normal_for_empty_mask": True}
MALIGNANT, NORMAL = [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]


def decide(mask: object, label: object, threshold: float | None = None, **evaluation: object) -> Prediction:
    decision = Decision(CLASSES, EvaluationConfig.model_validate(evaluation))
    return decision(Probabilities(as_floats(mask), as_floats(label)), threshold)


def as_floats(values: object) -> npt.NDArray[np.float32] | None:
    return None if values is None else np.array(values, np.float32)


def test_a_pixel_at_the_threshold_is_foreground() -> None:
    mask = [[0.3, 0.5], [0.75, 0.74]]
    assert decide(mask, MALIGNANT).mask.tolist() == [[False, True], [True, True]]
    assert decide(mask, MALIGNANT, threshold=0.75).mask.tolist() == [[False, False], [True, False]]
    prediction = decide(mask, MALIGNANT, threshold=0.75)
    assert prediction.label == "malignant"
    assert prediction.probabilities == pytest.approx(dict(zip(CLASSES, MALIGNANT, strict=True)))


def test_postprocessing_comes_after_the_threshold() -> None:
    mask = [[0.9, 0.9, 0.1, 0.6]]
    assert decide(mask, None, postprocessing={"largest_component": True}).mask.tolist() == [[True, True, False, False]]
    assert not decide(mask, None, postprocessing={"minimum_area": 0.6}).mask.any()


def test_specks_that_are_removed_make_a_case_normal() -> None:
    """Refining uses the final mask: the speck is not a lesion."""
    speck = np.zeros((10, 10))
    speck[4, 4] = 0.9
    assert decide(speck, MALIGNANT, refining=BOTH).label == "malignant"
    prediction = decide(speck, MALIGNANT, refining=BOTH, postprocessing={"minimum_area": 0.02})
    assert (prediction.label, prediction.mask.any()) == ("normal", False)
    # Post-processing emptied this mask, not refining: the probability map is unchanged.
    assert prediction.mask_probability.max() == pytest.approx(0.9)


def test_a_normal_case_has_neither_mask_nor_mask_probability() -> None:
    lesion = np.full((4, 5), 0.8)
    prediction = decide(lesion, NORMAL, refining=BOTH)
    assert (prediction.label, prediction.mask.any()) == ("normal", False)
    assert prediction.mask_probability.dtype == np.float32
    assert not prediction.mask_probability.any()
    assert prediction.probabilities == pytest.approx(dict(zip(CLASSES, NORMAL, strict=True)))
    # Probabilities below the threshold are set to 0 as well.
    assert not decide(np.full((4, 5), 0.2), NORMAL, refining=BOTH).mask_probability.any()
    assert decide(lesion, NORMAL).mask.all()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("label", [MALIGNANT, NORMAL, [1.0, 0.0, 0.0]])
@pytest.mark.parametrize("gray", [0.2, 0.8])
def test_the_rules_are_those_of_the_layer(first: bool, second: bool, label: list[float], gray: float) -> None:
    """On one pixel, where the mask is not resized, both have to agree."""
    directions = {"empty_mask_for_normal": first, "normal_for_empty_mask": second}
    prediction = decide([[gray]], label, refining=directions)
    layer = PredictionRefining(2, **directions)
    logits = torch.tensor([[[[gray]]]]).logit(), torch.tensor([label]).log()
    mask, classes = layer(*logits)
    assert prediction.mask.item() == (mask.item() >= 0)
    np.testing.assert_allclose(list(prediction.probabilities.values()), classes.softmax(1)[0], rtol=1e-5)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_refined_probabilities_equal_those_of_the_layer(seed: int) -> None:
    """For random probabilities of three to five classes, with ties, and an empty mask."""
    random = np.random.default_rng(seed)
    classes = ("benign", "malignant", "normal", "cyst", "other")[: random.integers(3, 6)]
    label = random.dirichlet([0.3] * len(classes)).astype(np.float32).round(2 if seed % 2 else 7)
    label /= label.sum()
    decision = Decision(classes, EvaluationConfig.model_validate({"refining": BOTH}))
    prediction = decision(Probabilities(np.zeros((3, 4), np.float32), label))
    _, logits = PredictionRefining(2, **BOTH)(torch.full((1, 1, 1, 1), -1.0), torch.from_numpy(label).log()[None])
    expected = logits.softmax(1)[0]
    np.testing.assert_allclose(list(prediction.probabilities.values()), expected, rtol=1e-5, atol=1e-7)
    assert prediction.label == "normal"


def test_without_a_rule_that_applies_nothing_changes_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    label = random.dirichlet((1, 1, 0.01)).astype(np.float32)
    mask = random.random((6, 7)).astype(np.float32)
    plain, refined = decide(mask, label), decide(mask, label, refining=BOTH)
    assert np.array_equal(plain.mask_probability, refined.mask_probability)
    assert plain.probabilities == refined.probabilities


def test_refining_does_not_change_uncertainties() -> None:
    uncertainty = np.full((2, 2), 0.5, np.float32)
    decision = Decision(CLASSES, EvaluationConfig(refining=BOTH))
    prediction = decision(Probabilities(np.ones((2, 2), np.float32), as_floats(NORMAL), uncertainty, 0.8))
    assert prediction.mask_uncertainty is uncertainty
    assert prediction.label_uncertainty == 0.8


def test_refining_needs_a_normal_class_and_both_tasks() -> None:
    message = (
        "needs a class 'normal', the classes of the network are benign, malignant: set both of its directions to false"
    )
    with pytest.raises(InputError, match=message):
        Decision(("benign", "malignant"), EvaluationConfig(refining={"empty_mask_for_normal": True}))
    for mask, label in (([[1.0]], None), (None, NORMAL)):
        with pytest.raises(InputError, match=r"evaluation\.refining needs a network with both tasks: set both"):
            decide(mask, label, refining=BOTH)


def test_a_threshold_that_is_still_to_be_chosen_is_refused() -> None:
    with pytest.raises(InputError, match="is 'validation', which only a test can choose: give a number"):
        Decision(CLASSES, EvaluationConfig(threshold="validation"))
