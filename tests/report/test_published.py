"""Published results are checked against the publications' own definitions, which would show a typing error."""

from dataclasses import replace
from typing import Any

import pytest

import acsnet
from acsnet.config import build_config
from acsnet.report import Network, find_published
from acsnet.report.published import PIXEL_F1, read_published
from acsnet.report.training import Training
from acsnet.statistics import METRICS

CHUNG, AUMENTE = dict.fromkeys(own.publication for own in read_published().values())
OF_CHUNG = [own for own in read_published().values() if own.publication is CHUNG]
OF_AUMENTE = [own for own in read_published().values() if own.publication is AUMENTE]
# Images of the curated set of Aumente-Maestro et al.
SIZES = {"benign": 222, "malignant": 164, "normal": 64}


def test_every_pair_of_the_zoo_is_published() -> None:
    assert len(OF_CHUNG) == 16
    assert {own.method for own in OF_CHUNG} <= {*acsnet.list_models()}
    assert all([*own.values] == [*CHUNG.columns] for own in OF_CHUNG)


@pytest.mark.parametrize("own", OF_CHUNG, ids=lambda own: own.method)
def test_the_overall_score_follows_from_the_other_values(own: Any) -> None:
    iou, dice, pixels, classes = (own.values[key] for key in ("iou", "dice", PIXEL_F1, "f1_macro"))
    assert own.values["overall_score"] == pytest.approx(((iou + dice + pixels) / 3 + classes) / 2, abs=0.002)
    assert iou <= dice + 0.006


@pytest.mark.parametrize("own", OF_AUMENTE, ids=lambda own: own.method)
def test_averages_are_those_of_the_classes(own: Any) -> None:
    for prefix, average in (("dice", "dice"), ("f1", "f1_weighted")):
        if average in own.values:
            mean = sum(own.values[f"{prefix}_{label}"] * size for label, size in SIZES.items()) / sum(SIZES.values())
            assert own.values[average] == pytest.approx(mean, abs=0.0015)


def test_rows_of_one_task_have_the_values_of_that_task() -> None:
    by_method = {own.method: own.values for own in OF_AUMENTE}
    assert len(by_method) == 8
    assert [*by_method["ST (seg)"]] == ["dice_benign", "dice_malignant", "dice_normal", "dice"]
    assert [*by_method["ST (cls)"]] == ["f1_benign", "f1_malignant", "f1_normal", "f1_weighted", "accuracy"]
    assert [*by_method["MT"]] == [*AUMENTE.columns]


def test_every_column_is_compared_with_a_metric() -> None:
    assert {*CHUNG.columns, *AUMENTE.columns} - {PIXEL_F1} <= {*METRICS}


BOTH = ["segmentation", "classification"]


def make(
    networks: list[Network], model: str, tasks: list[str] = BOTH, oversample: bool = False, **refining: bool
) -> Network:
    content = {
        "model": {"name": model, "tasks": tasks},
        "data": {"oversample": oversample},
        "evaluation": {"refining": refining},
    }
    return replace(networks[0], trainings=(Training(config=build_config(content, [], "the test")),))


REFINED = {"empty_mask_for_normal": True, "normal_for_empty_mask": True}


@pytest.mark.parametrize(
    ("about", "method", "figure", "value"),
    [
        ({"model": "fpn_resnet50"}, "fpn_resnet50", "dice", 0.601),
        ({"model": "deeplabv3plus_efficientnet_b4"}, "deeplabv3plus_efficientnet_b4", "overall_score", 0.760),
        ({"model": "unetpp"}, "MT", "accuracy", 0.742),
        ({"model": "unetpp", "oversample": True}, "MT + DO", "f1_benign", 0.830),
        ({"model": "unetpp", **REFINED}, "MT + PR", "dice_normal", 0.594),
        ({"model": "unetpp", "oversample": True, **REFINED}, "MT + PR + DO", "dice", 0.751),
        ({"model": "unetpp", "tasks": BOTH[:1]}, "ST (seg)", "dice", 0.661),
        ({"model": "unetpp", "tasks": BOTH[:1], "oversample": True}, "ST (seg) + DO", "dice_normal", 0.234),
        ({"model": "unetpp", "tasks": BOTH[1:]}, "ST (cls)", "accuracy", 0.698),
        ({"model": "unetpp", "tasks": BOTH[1:], "oversample": True}, "ST (cls) + DO", "f1_normal", 0.643),
    ],
)
def test_a_run_finds_the_values_of_its_method(
    networks: list[Network], about: dict[str, Any], method: str, figure: str, value: float
) -> None:
    published = find_published(make(networks, **about))
    assert published is not None
    assert published.method == method
    assert published.values[figure] == value


@pytest.mark.parametrize(
    "about",
    [
        {"model": "acsnet"},
        {"model": "fpn_resnet50", "oversample": True},
        {"model": "fpn_resnet50", "tasks": BOTH[:1]},
        {"model": "fpn_resnet50", **REFINED},
        {"model": "unetpp", "empty_mask_for_normal": True},
        {"model": "unetpp_refined"},
        {"model": "mt_nnunet", "oversample": True, **REFINED},
    ],
)
def test_another_method_has_none(networks: list[Network], about: dict[str, Any]) -> None:
    assert find_published(make(networks, **about)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"test_time_augmentation": {"horizontal_flip": True}},
        {"postprocessing": {"largest_component": True}},
        {"threshold": "validation"},
        {"threshold": 0.4},
    ],
    ids=str,
)
def test_a_run_evaluated_in_another_way_has_none(networks: list[Network], options: dict[str, Any]) -> None:
    config = build_config({"model": {"name": "unetpp"}, "evaluation": options}, [], "the test")
    assert find_published(replace(networks[0], trainings=(Training(config=config),))) is None


def test_a_run_without_configuration_has_none(networks: list[Network]) -> None:
    assert find_published(networks[2]) is None
