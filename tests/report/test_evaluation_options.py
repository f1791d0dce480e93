from pathlib import Path
from typing import Any

import pytest

from acsnet.report import Network, read_networks
from acsnet.report.evaluation_options import find_option_effects, option_tables
from acsnet.statistics.compare import paired_differences


def settings(refining: bool, **more: Any) -> dict[str, Any]:
    both = {"empty_mask_for_normal": refining, "normal_for_empty_mask": refining}
    return {"batch_size": 8, "threshold": 0.5, "refining": both, **more}


@pytest.fixture(scope="module")
def of_two_trainings(write_run: Any) -> list[Network]:
    about: dict[str, tuple[str, dict[str, Any], int]] = {
        "refined": ("w", settings(True), 1),
        "plain": ("w", settings(False), 2),
        "fast": ("w", settings(False, batch_size=16, published_metrics=["he2024"]), 2),
        "other": ("v", settings(True), 3),
    }
    arguments = [
        f"{name}={write_run(fold=fold, seed=seed, checkpoint_sha256=f'{weights}{fold}', evaluation=evaluation)}"
        for name, (weights, evaluation, seed) in about.items()
        for fold in (1, 0)
    ]
    return read_networks(arguments)[0]


def test_networks_of_the_same_weights_are_compared_with_the_default_settings(of_two_trainings: list[Network]) -> None:
    (effect,) = find_option_effects(of_two_trainings)
    assert (effect.network, effect.base) == ("refined", "plain")
    assert effect.settings == (
        "refining.empty_mask_for_normal (False -> True)",
        "refining.normal_for_empty_mask (False -> True)",
    )
    refined, plain = of_two_trainings[0].result, of_two_trainings[1].result
    assert [*effect.differences] == ["dice", "dice_lesion", "dice_normal", "accuracy"]
    dice = effect.differences["dice"]
    assert dice.estimate == pytest.approx(refined.per_image["dice"].mean() - plain.per_image["dice"].mean())
    assert dice == paired_differences(refined, plain, ["dice"])["dice"]
    assert dice.low < dice.estimate < dice.high


def test_the_table_of_effects(of_two_trainings: list[Network]) -> None:
    (table,) = option_tables(of_two_trainings)
    (row,) = table.rows
    assert row.name == "refined - plain"
    assert row.cells[0].text.startswith("refining.empty_mask_for_normal (False -> True); ")
    assert row.cells[1].bounds


def test_differences_that_rest_on_few_groups_say_so(write_run: Any) -> None:
    def few(rows: list[dict[str, Any]]) -> None:
        for index, row in enumerate(rows):
            row["group"] = str(index // 3 % 3)

    about = {name: {"evaluation": settings(name == "refined"), "seed": len(name)} for name in ("refined", "plain")}
    folders = [f"{name}={write_run(checkpoint_sha256='w', change=few, **own)}" for name, own in about.items()]
    (table,) = option_tables(read_networks(folders)[0])
    assert [note for note in table.notes if "only 3 groups: the interval is unreliable" in note] == [
        "refined - plain, Dice (all), Dice (lesions), Dice (normal), accuracy: the images are of only 3 groups: the "
        "interval is unreliable, probably too narrow."
    ]


def test_unknown_weights_are_not_the_same(networks: list[Network]) -> None:
    assert find_option_effects(networks) == []
    assert option_tables(networks) == []


def test_effects_of_a_cross_validation(cross_validation: Path) -> None:
    (effect,) = find_option_effects(read_networks([str(cross_validation)])[0])
    assert (effect.network, effect.base) == ("refined", "plain")
