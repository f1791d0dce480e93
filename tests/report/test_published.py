"""Published results are checked against the publications' own definitions, which would show a typing error."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acsnet
from acsnet.config import build_config, load_config
from acsnet.metrics.published import PUBLISHED_METRICS, PublishedCase, published_metrics
from acsnet.report import Network, find_published
from acsnet.report.published import TWO_NETWORKS, read_published
from acsnet.report.training import Training

REPOSITORY = Path(__file__).resolve().parents[2]
CHUNG, AUMENTE, STUDY = dict.fromkeys(own.publication for own in read_published().values())
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
    iou, dice, pixels, classes = (own.values[key] for key in ("iou", "dice", "segmentation_f1", "f1"))
    assert own.values["overall"] == pytest.approx(((iou + dice + pixels) / 3 + classes) / 2, abs=0.002)
    assert iou <= dice + 0.006


@pytest.mark.parametrize("own", OF_AUMENTE, ids=lambda own: own.method)
def test_averages_are_those_of_the_classes(own: Any) -> None:
    for prefix, average in (("dice", "dice"), ("f1", "f1_weighted")):
        if average in own.values:
            mean = sum(own.values[f"{prefix}_{label}"] * size for label, size in SIZES.items()) / sum(SIZES.values())
            assert own.values[average] == pytest.approx(mean, abs=0.0015)


def test_rows_of_one_task_have_the_values_of_that_task() -> None:
    by_method = {own.method: own.values for own in OF_AUMENTE}
    assert len(by_method) == 9
    assert [*by_method["ST (seg)"]] == ["dice_benign", "dice_malignant", "dice_normal", "dice"]
    assert [*by_method["ST (cls)"]] == ["f1_benign", "f1_malignant", "f1_normal", "f1_weighted", "accuracy"]
    assert [*by_method["MT"]] == [*AUMENTE.columns]


def test_the_study_has_five_networks_and_pools_pixels() -> None:
    of_study = {own.method: own.values for own in read_published().values() if own.publication is STUDY}
    assert len(of_study) == 5
    for values in of_study.values():
        # Pooled Dice and IoU follow from each other.
        assert values["iou"] == pytest.approx(values["dice"] / (2 - values["dice"]), abs=0.004)


@pytest.mark.parametrize("publication", [CHUNG, AUMENTE, STUDY], ids=lambda publication: publication.metrics)
def test_every_column_is_a_metric_counted_in_the_publications_way(publication: Any) -> None:
    mask = np.ones((8, 8), np.bool_)
    case = PublishedCase("benign", "benign", mask.astype(np.float32), mask, [mask])
    assert publication.metrics in PUBLISHED_METRICS
    assert {*publication.columns} <= {*published_metrics(publication.metrics, [case], [*SIZES])}


BOTH = ["segmentation", "classification"]


def make(
    networks: list[Network],
    model: str,
    tasks: list[str] = BOTH,
    oversample: str = "",
    network: str = "",
    **refining: bool,
) -> Network:
    arguments = {"network": network} if network else {}
    content = {"model": {"name": model, "tasks": tasks, "arguments": arguments}, "evaluation": {"refining": refining}}
    config = build_config(content, [], "the test")
    data = config.data.model_copy(update={"oversample": oversample or False})
    return replace(networks[0], trainings=(Training(config=config.model_copy(update={"data": data})),))


REFINED = {"empty_mask_for_normal": True, "normal_for_empty_mask": True}


@pytest.mark.parametrize(
    ("about", "method", "figure", "value"),
    [
        ({"model": "fpn_resnet50"}, "fpn_resnet50", "dice", 0.601),
        ({"model": "deeplabv3plus_efficientnet_b4"}, "deeplabv3plus_efficientnet_b4", "overall", 0.760),
        ({"model": "mt_unetpp"}, "MT", "accuracy", 0.742),
        ({"model": "mt_unetpp", "oversample": "aumente2025"}, "MT + DO", "f1_benign", 0.830),
        ({"model": "mt_unetpp", **REFINED}, "MT + PR", "dice_normal", 0.594),
        ({"model": "mt_unetpp", "oversample": "aumente2025", **REFINED}, "MT + PR + DO", "dice", 0.751),
        ({"model": "mt_unetpp", "tasks": BOTH[:1]}, "ST (seg)", "dice", 0.661),
        ({"model": "mt_unetpp", "tasks": BOTH[:1], "oversample": "aumente2025"}, "ST (seg) + DO", "dice_normal", 0.234),
        ({"model": "mt_unetpp", "tasks": BOTH[1:]}, "ST (cls)", "accuracy", 0.698),
        ({"model": "mt_unetpp", "tasks": BOTH[1:], "oversample": "aumente2025"}, "ST (cls) + DO", "f1_normal", 0.643),
        (
            {"model": TWO_NETWORKS, "network": "mt_unetpp", "oversample": "aumente2025", **REFINED},
            "ST both + PR + DO",
            "dice_normal",
            0.656,
        ),
        ({"model": "unet"}, "U-Net", "dice", 0.521),
        ({"model": "gated_unet"}, "gated U-Net", "accuracy", 0.7125),
        ({"model": "unetpp"}, "U-Net++", "iou", 0.481),
        ({"model": "unetpp_refined"}, "refined U-Net++", "accuracy", 0.8125),
        ({"model": "unetpp", "empty_mask_for_normal": True}, "refined U-Net++", "dice", 0.669),
        ({"model": "efficientnet_cbam"}, "EfficientNet-CBAM", "dice", 0.713),
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
        {"model": "fpn_resnet50", "oversample": "aumente2025"},
        {"model": "fpn_resnet50", "tasks": BOTH[:1]},
        {"model": "fpn_resnet50", **REFINED},
        {"model": "mt_unetpp", "empty_mask_for_normal": True},
        {"model": "mt_unetpp", "oversample": "largest_class"},
        {"model": "unetpp", **REFINED},
        {"model": "unetpp", "tasks": BOTH[:1]},
        {"model": TWO_NETWORKS, "network": "unet", "oversample": "aumente2025", **REFINED},
        {"model": "mt_nnunet", "oversample": "aumente2025", **REFINED},
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


def test_asking_for_the_metrics_of_publications_changes_nothing(networks: list[Network]) -> None:
    content = {"model": {"name": "unetpp"}, "evaluation": {"published_metrics": ["eee402"], "batch_size": 2}}
    published = find_published(replace(networks[0], trainings=(Training(config=build_config(content, [], "")),)))
    assert published is not None
    assert published.method == "U-Net++"


def test_every_published_row_has_a_configuration_of_its_protocol(networks: list[Network]) -> None:
    """The folder of a configuration is its publication; baselines without results find none."""
    reached = set()
    for path in sorted((REPOSITORY / "configs" / "published").rglob("*.yaml")):
        config = load_config(path)
        published = find_published(replace(networks[0], trainings=(Training(config=config),)))
        if published is not None:
            assert config.evaluation.published_metrics == (path.parent.name,) == (published.publication.metrics,)
            reached.add((published.publication.key, published.method))
    assert reached == {(own.publication.key, own.method) for own in read_published().values()}


def test_a_run_without_configuration_has_none(networks: list[Network]) -> None:
    assert find_published(networks[2]) is None
