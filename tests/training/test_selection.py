import math

import pytest

from acsnet.errors import ConfigError, UnknownNameError
from acsnet.training.selection import SelectionFormula

METRICS = {"dice": 0.75, "accuracy": 0.5, "loss": 2.0, "zero": 0.0, "undefined": math.nan}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dice", 0.75),
        ("0.7*dice + 0.3*accuracy", 0.7 * 0.75 + 0.3 * 0.5),
        ("-loss", -2.0),
        ("--loss", 2.0),
        ("dice - accuracy - 1", -0.75),
        ("dice / loss / 2", 0.1875),
        ("2 * (dice + accuracy)", 2.5),
        ("dice + accuracy * loss", 1.75),
        (" dice\n", 0.75),
        ("1", 1.0),
        ("1e-1*loss", 0.2),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    assert SelectionFormula(text, list(METRICS))(METRICS) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["undefined", "dice + undefined", "0 * undefined", "dice / zero", "-dice / zero"])
def test_an_undefined_score_is_the_lowest(text: str) -> None:
    """NaN would be the best for ever once it came first: nothing is greater than it."""
    assert SelectionFormula(text, list(METRICS))(METRICS) == -math.inf


def test_a_division_that_is_undefined_at_ones_is_a_formula_all_the_same() -> None:
    formula = SelectionFormula("dice / (1 - accuracy)", list(METRICS))
    assert formula(METRICS) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("text", "subset"),
    [
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("dice.real", "dice.real"),
        ("dice**2", "dice ** 2"),
        ("dice // 2", "dice // 2"),
        ("max(dice, accuracy)", "max(dice, accuracy)"),
        ("dice if accuracy else 0", "dice if accuracy else 0"),
        ("dice > 1", "dice > 1"),
        ("True", "True"),
        ("'dice'", "'dice'"),
        ("1j", "1j"),
        ("0.7*dice + [accuracy]", "[accuracy]"),
        ("(lambda: dice)()", "(lambda: dice)()"),
        ("+dice", "+dice"),
    ],
)
def test_anything_but_arithmetic_is_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SelectionFormula(text, list(METRICS))
    example = "write numbers, metrics, + - * / and brackets, as in 0.7*dice + 0.3*accuracy"
    assert str(caught.value) == f"training.selection is {text!r}: {part!r} is not arithmetic; {example}"


@pytest.mark.parametrize("text", ["", "0.7*", "dice accuracy", "(dice", "dice = 1", "dice; accuracy", "dice\0"])
def test_text_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SelectionFormula(text, list(METRICS))
    assert str(caught.value).startswith(f"training.selection is {text!r}: it cannot be read; write numbers, metrics")


def test_an_unknown_metric_has_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown metric in training\.selection 'dcie': did you mean 'dice'"):
        SelectionFormula("0.7*dcie + 0.3*accuracy", list(METRICS))
