import math

import pytest

from acsnet.config import Config, TrainingConfig, build_config
from acsnet.errors import ConfigError, UnknownNameError
from acsnet.training.selection import SelectionScore

METRICS = {"epoch": 3.0, "dice": 0.75, "accuracy": 0.5, "loss": 2.0, "undefined": math.nan}
NAMES = [name for name in METRICS if name != "epoch"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"dice": 1}, 0.75),
        ({"dice": 0.7, "accuracy": 0.3}, 0.7 * 0.75 + 0.3 * 0.5),
        ({"loss": -1}, -2.0),
        ({"epoch": 1}, 3.0),
    ],
)
def test_weighted_sum(weights: dict[str, float], expected: float) -> None:
    assert SelectionScore(weights, NAMES)(METRICS) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", [{"undefined": 1}, {"dice": 1, "undefined": 0.5}])
def test_an_undefined_score_is_the_lowest(weights: dict[str, float]) -> None:
    """No score is greater than NaN: it would stay the best one if it came first."""
    assert SelectionScore(weights, NAMES)(METRICS) == -math.inf


def test_an_unknown_metric_has_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown metric in training\.selection 'dcie': did you mean 'dice'"):
        SelectionScore({"dcie": 0.7, "accuracy": 0.3}, NAMES)


# --- the configuration -----------------------------------------------------------------------------------------------


def configure(selection: str) -> Config:
    return build_config({"model": {"name": "a"}}, [f"training.selection={selection}"], "test")


@pytest.mark.parametrize(
    ("selection", "formula"),
    [
        ("{dice: 0.7, accuracy: 0.3}", "0.7*dice + 0.3*accuracy"),
        ("{accuracy: 1}", "accuracy"),
        ("{epoch: 1}", "epoch"),
        ("{dice: 1, loss: -1}", "dice - loss"),
        ("{loss: -0.5, dice: 2}", "-0.5*loss + 2*dice"),
    ],
)
def test_the_selection_as_a_formula(selection: str, formula: str) -> None:
    assert configure(selection).training.selection_formula == formula


def test_the_selection_of_a_parent_is_replaced_as_a_whole() -> None:
    assert TrainingConfig().selection == {"dice": 0.7, "accuracy": 0.3}
    content = {"model": {"name": "a"}, "training": {"selection": {"dice": 0.5, "iou": 0.5}}}
    assert build_config(content, [], "test").training.selection == {"dice": 0.5, "iou": 0.5}
    assert build_config(content, ["training.selection={epoch: 1}"], "test").training.selection == {"epoch": 1}
    assert build_config(content, ["training.selection.loss=-1"], "test").training.selection == {"loss": -1}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("dice", "'dice' is not a mapping of metric to weight: write one as in {dice: 0.7, accuracy: 0.3}"),
        ("0.7*dice + 0.3*accuracy", "is not a mapping of metric to weight"),
        ("{}", "is not a mapping of metric to weight"),
        ("null", "is not a mapping of metric to weight"),
        ("{dice: 0}", "the weight of dice is 0: leave the metric out"),
        ("{dice: high}", "training.selection.dice"),
        ("{dice: true}", "training.selection.dice"),
    ],
)
def test_anything_but_metrics_and_weights_is_refused(selection: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(selection)
    assert "training.selection" in str(caught.value)
    assert message in str(caught.value)
