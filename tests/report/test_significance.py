from dataclasses import replace

import pytest

from acsnet.report.significance import explain_marks, network_letters, significance_marks
from acsnet.statistics.compare import Comparison


@pytest.mark.parametrize(("count", "letters"), [(1, ""), (2, "ab"), (30, "abcdefghijklmnopqrstuvwxyzaabbccdd")])
def test_any_number_of_networks_has_letters(comparison: Comparison, count: int, letters: str) -> None:
    several = tuple(replace(comparison.networks[0], name=str(index)) for index in range(count))
    assert "".join(network_letters(replace(comparison, networks=several)).values()) == letters


def test_the_better_network_is_marked_if_the_test_finds_a_difference(comparison: Comparison) -> None:
    (pair, *_) = [pair for pair in comparison.pairs if pair.metric == "dice_lesion"]
    higher, lower = ("b", "a") if pair.difference.estimate < 0 else ("a", "b")
    better = pair.second if higher == "b" else pair.first
    for p_value, marks in ((0.049, {(better, "dice_lesion"): lower}), (0.05, {}), (float("nan"), {})):
        assert significance_marks(replace(comparison, pairs=(replace(pair, adjusted_p=p_value),))) == marks


def test_lower_can_be_better(comparison: Comparison) -> None:
    pair = replace(comparison.pairs[0], metric="hd95_lesion", adjusted_p=0.01)
    worse = pair.first if pair.difference.estimate > 0 else pair.second
    better = pair.second if worse == pair.first else pair.first
    letter = network_letters(comparison)[worse]
    assert significance_marks(replace(comparison, pairs=(pair,))) == {(better, "hd95_lesion"): letter}


def test_how_to_read_one_network_alone(comparison: Comparison) -> None:
    alone = replace(comparison, networks=comparison.networks[:1], pairs=())
    assert [*explain_marks(alone)] == [
        "Below each value: its 95 % interval by a bootstrap over groups, and mean ± standard deviation over folds."
    ]
