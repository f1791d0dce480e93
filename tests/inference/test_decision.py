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
    """Refining looks at the final mask: the speck is no lesion."""
    speck = np.zeros((10, 10))
    speck[4, 4] = 0.9
    assert decide(speck, MALIGNANT, refining=BOTH).label == "malignant"
    prediction = decide(speck, MALIGNANT, refining=BOTH, postprocessing={"minimum_area": 0.02})
    assert (prediction.label, prediction.mask.any()) == ("normal", False)
    # The rule has not emptied this mask, post-processing has: what the network saw stays to be seen.
    assert prediction.mask_probability.max() == pytest.approx(0.9)


def test_a_normal_case_has_no_mask_and_no_probability_of_one() -> None:
    lesion = np.full((4, 5), 0.8)
    prediction = decide(lesion, NORMAL, refining=BOTH)
    assert (prediction.label, prediction.mask.any()) == ("normal", False)
    assert prediction.mask_probability.dtype == np.float32
    assert not prediction.mask_probability.any()
    assert prediction.probabilities == pytest.approx(dict(zip(CLASSES, NORMAL, strict=True)))
    # What is below the threshold goes as well: the case is normal.
    assert not decide(np.full((4, 5), 0.2), NORMAL, refining=BOTH).mask_probability.any()
    assert decide(lesion, NORMAL).mask.all()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("label", [MALIGNANT, NORMAL, [1.0, 0.0, 0.0]])
@pytest.mark.parametrize("gray", [0.2, 0.8])
def test_the_rules_are_those_of_the_layer(first: bool, second: bool, label: list[float], gray: float) -> None:
    """On one pixel there is no interpolation between the logits and the mask: both ways must agree."""
    directions = {"empty_mask_for_normal": first, "normal_for_empty_mask": second}
    prediction = decide([[gray]], label, refining=directions)
    layer = PredictionRefining(2, **directions)
    logits = torch.tensor([[[[gray]]]]).logit(), torch.tensor([label]).log()
    mask, classes = layer(*logits)
    assert prediction.mask.item() == (mask.item() >= 0)
    np.testing.assert_allclose(list(prediction.probabilities.values()), classes.softmax(1)[0], rtol=1e-5)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_what_no_rule_changes_comes_out_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    label = random.dirichlet((1, 1, 0.01)).astype(np.float32)
    mask = random.random((6, 7)).astype(np.float32)
    plain, refined = decide(mask, label), decide(mask, label, refining=BOTH)
    assert np.array_equal(plain.mask_probability, refined.mask_probability)
    assert plain.probabilities == refined.probabilities


def test_uncertainties_are_handed_on_whatever_refining_does() -> None:
    uncertainty = np.full((2, 2), 0.5, np.float32)
    decision = Decision(CLASSES, EvaluationConfig(refining=BOTH))
    prediction = decision(Probabilities(np.ones((2, 2), np.float32), as_floats(NORMAL), uncertainty, 0.8))
    assert prediction.mask_uncertainty is uncertainty
    assert prediction.label_uncertainty == 0.8


def test_refining_needs_a_normal_class_and_both_tasks() -> None:
    message = "needs a class 'normal', the network tells apart benign, malignant: set both of its directions to false"
    with pytest.raises(InputError, match=message):
        Decision(("benign", "malignant"), EvaluationConfig(refining={"empty_mask_for_normal": True}))
    for mask, label in (([[1.0]], None), (None, NORMAL)):
        with pytest.raises(InputError, match=r"evaluation\.refining needs a network of both tasks: set both"):
            decide(mask, label, refining=BOTH)


def test_a_threshold_that_is_to_be_chosen_is_no_number() -> None:
    with pytest.raises(InputError, match="is 'validation', which only a test can choose: give a number"):
        Decision(CLASSES, EvaluationConfig(threshold="validation"))
