import json
import math

import numpy as np
import pytest

from acsnet.checkpoints import OperatingPoints
from acsnet.errors import InputError
from acsnet.evaluation.operating_points import choose_operating_points, parse_point, rate_operating_points

NAMES = ["benign", "malignant"]
# Ten images each; one benign image at 0.85, one malignant image at 0.15.
BENIGN = [0.02, 0.04, 0.06, 0.08, 0.10, 0.12, 0.2, 0.3, 0.4, 0.85]
MALIGNANT = [0.15, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.92, 0.94, 0.96]


def choose(benign: list[float], malignant: list[float], *points: str) -> OperatingPoints:
    labels = [0] * len(benign) + [1] * len(malignant)
    probabilities = [[1 - p, p] for p in (*benign, *malignant)]
    return choose_operating_points(labels, probabilities, NAMES, points)


def untempered(chosen: OperatingPoints, name: str) -> float:
    """The threshold before the temperature."""
    logit = math.log(chosen.points[name].threshold / (1 - chosen.points[name].threshold))
    return 1 / (1 + math.exp(-logit * chosen.temperature))


def rates(chosen: OperatingPoints, name: str) -> tuple[float | None, float | None]:
    return chosen.points[name].sensitivity.value, chosen.points[name].specificity.value


def test_thresholds_by_hand() -> None:
    """A specificity of 0.9 leaves out one benign image, 0.85: the threshold is above 0.4, below the malignant 0.5.

    The malignant images at 0.15 and 0.35 are missed.
    """
    chosen = choose(BENIGN, MALIGNANT, "specificity_90", "specificity_100", "sensitivity_90", "sensitivity_100")
    assert rates(chosen, "specificity_90") == (0.8, 0.9)
    assert 0.4 < untempered(chosen, "specificity_90") < 0.5
    assert rates(chosen, "specificity_100") == (0.4, 1.0)
    assert 0.85 < untempered(chosen, "specificity_100") < 0.9
    assert rates(chosen, "sensitivity_90") == (0.9, 0.8)
    assert 0.3 < untempered(chosen, "sensitivity_90") < 0.35
    assert rates(chosen, "sensitivity_100") == (1.0, 0.6)
    assert 0.12 < untempered(chosen, "sensitivity_100") < 0.15
    assert chosen.classes == {"benign": 10, "malignant": 10}
    assert (chosen.points["sensitivity_90"].aim, chosen.points["sensitivity_90"].target) == ("sensitivity", 0.9)
    assert (chosen.points["sensitivity_90"].sensitivity.n, chosen.points["sensitivity_90"].specificity.n) == (10, 10)


def test_thresholds_are_halfway() -> None:
    """At temperature 1 the thresholds can be read off; probabilities at 0.5 +- d have their own mean as the label."""
    chosen = choose([0.25] * 9 + [0.75] * 3, [0.75] * 9 + [0.25] * 3, "specificity_70")
    assert chosen.temperature == pytest.approx(1, abs=1e-3)
    assert chosen.points["specificity_70"].threshold == pytest.approx(0.5, abs=1e-3)


def test_equal_probabilities_are_on_one_side() -> None:
    """Two benign images share 0.8 with a malignant one: above them the specificity is 1, at them 0.8."""
    benign = [0.1] * 8 + [0.8, 0.8]
    malignant = [0.05, 0.8, *[0.9] * 8]
    chosen = choose(benign, malignant, "specificity_90", "specificity_80")
    assert rates(chosen, "specificity_90") == (0.8, 1.0)
    assert rates(chosen, "specificity_80") == (0.9, 0.8)


def test_the_higher_other_rate_among_equal_ones() -> None:
    """Every threshold from 0.3 to 0.6 has a sensitivity of 1; the one above 0.5 has the best specificity."""
    chosen = choose([0.1, 0.2, 0.3, 0.4, 0.5] * 2, [0.6] * 10, "specificity_60", "sensitivity_50")
    assert rates(chosen, "specificity_60") == (1.0, 1.0)
    assert rates(chosen, "sensitivity_50") == (1.0, 1.0)


def test_unreachable_targets() -> None:
    """The highest probabilities are those of two benign images and a malignant one, which cannot be separated."""
    benign, malignant = [0.1] * 8 + [0.95] * 2, [0.3] * 9 + [0.95]
    message = (
        "no threshold reaches the operating point specificity_90: with both .* highest specificity is 0.800; choose"
    )
    with pytest.raises(InputError, match=message):
        choose(benign, malignant, "specificity_90")
    assert rates(choose(benign, malignant, "specificity_80"), "specificity_80") == (1.0, 0.8)
    with pytest.raises(InputError, match=r"sensitivity_95: with both rates above 0 the highest sensitivity is 0\.900"):
        choose([0.2] * 10, [0.1] + [0.9] * 9, "sensitivity_95")
    with pytest.raises(InputError, match="the highest specificity is none"):
        choose([0.5] * 10, [0.5] * 10, "specificity_10")


def test_the_temperature_by_hand() -> None:
    """At 0.9, 3 of 4 images are malignant: the best probability is 3/4, whose logit is ln 3 instead of ln 9."""
    chosen = choose([0.9] * 3 + [0.1] * 9, [0.9] * 9 + [0.1] * 3)
    assert chosen.temperature == pytest.approx(2, abs=1e-3)
    before = -(0.75 * math.log(0.9) + 0.25 * math.log(0.1))
    after = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert chosen.negative_log_likelihood == pytest.approx((before, after), abs=1e-6)


def test_the_range_of_the_temperature() -> None:
    """Perfect predictions become ever more certain, useless ones ever less."""
    assert choose([0.4] * 10, [0.6] * 10).temperature == 0.05
    assert choose([0.9] * 10, [0.1] * 10).temperature == 20
    zero = choose([0.0] * 10 + [1.0], [1.0] * 10)
    assert 0.05 <= zero.temperature <= 20
    assert math.isfinite(zero.negative_log_likelihood[1])


def test_the_order_of_the_images_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    probabilities = generator.dirichlet([1, 1, 1], 200)
    names = ["benign", "malignant", "normal"]
    points = ["specificity_90", "sensitivity_95", "specificity_50"]
    first = choose_operating_points(labels, probabilities, names, points)
    for _ in range(5):
        order = generator.permutation(200)
        assert choose_operating_points(labels[order], probabilities[order], names, points) == first


def test_they_survive_json() -> None:
    chosen = choose(BENIGN, MALIGNANT, "specificity_90")
    assert OperatingPoints.model_validate_json(chosen.model_dump_json()) == chosen


@pytest.mark.parametrize("value", [math.nan, 1.5, -0.1])
def test_invalid_probabilities(value: float) -> None:
    with pytest.raises(InputError, match="expected values in 0 to 1 with a sum of 1"):
        choose([*BENIGN[:-1], value], MALIGNANT, "specificity_90")


def test_too_few_images() -> None:
    message = "cannot be chosen on {} images of 'malignant' and {} of other classes: at least 10 of each are needed"
    with pytest.raises(InputError, match=message.format(9, 10)):
        choose(BENIGN, MALIGNANT[:9])
    with pytest.raises(InputError, match=message.format(10, 9)):
        choose(BENIGN[:9], MALIGNANT)
    with pytest.raises(InputError, match=message.format(10, 0)):
        choose([], MALIGNANT)
    with pytest.raises(InputError, match="the classes are benign, normal: operating points need the class 'malignant'"):
        choose_operating_points([0, 1], [[0.5, 0.5]] * 2, ["benign", "normal"])


@pytest.mark.parametrize(
    "name", ["specificity90", "specificity_0", "specificity_101", "auroc_90", "sensitivity_9.5", ""]
)
def test_unknown_points(name: str) -> None:
    with pytest.raises(InputError, match=f"the operating point is '{name}': expected sensitivity_N or specificity_N"):
        parse_point(name)


def test_rates_on_tested_images() -> None:
    chosen = choose(BENIGN, MALIGNANT, "specificity_90")
    # The threshold is between 0.4 and 0.5: two of three malignant images and one of two benign images are above.
    labels, values = [1, 1, 1, 0, 0], [[0.4, 0.6], [0.1, 0.9], [0.7, 0.3], [0.9, 0.1], [0.3, 0.7]]
    result = rate_operating_points(chosen, labels, values, NAMES)
    tested = result["points"]["specificity_90"]["tested"]
    assert tested["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert (tested["specificity"]["value"], tested["specificity"]["n"]) == (0.5, 2)
    assert tested["specificity"]["low"] < 0.5 < tested["specificity"]["high"]
    assert result["points"]["specificity_90"]["chosen"]["sensitivity"]["value"] == 0.8
    json.dumps(result, allow_nan=False)
    benign_only = rate_operating_points(chosen, [0, 0], values[3:], NAMES)
    assert benign_only["points"]["specificity_90"]["tested"]["sensitivity"] == dict.fromkeys(
        ("value", "low", "high")
    ) | {"n": 0}


def test_rates_do_not_depend_on_the_temperature_that_the_probabilities_have() -> None:
    from acsnet.inference.class_decision import adjust_probabilities

    chosen = choose(BENIGN, MALIGNANT, "specificity_90")
    labels, values = [1, 1, 0], [[0.4, 0.6], [0.7, 0.3], [0.3, 0.7]]
    tempered = adjust_probabilities(values, chosen.temperature)
    assert rate_operating_points(chosen, labels, tempered, NAMES, chosen.temperature) == rate_operating_points(
        chosen, labels, values, NAMES
    )
