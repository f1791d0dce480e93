from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from acsnet.errors import InputError, RunError
from acsnet.statistics import RunResult, compare
from acsnet.statistics.compare import paired_differences
from acsnet.statistics.pooling import check_comparable, leave_out_incomplete, pool_folds, pool_networks
from acsnet.statistics.runs import SELECTED_ON_TEST

RunMaker = Callable[..., RunResult]
SMALL = ("benign", "malignant", "normal")


def test_folds_are_put_together_image_by_image(make_run: RunMaker) -> None:
    folds = [make_run("unet", SMALL, fold=fold, seed=fold) for fold in (1, 0, 2)]
    pooled = pool_folds(folds)
    assert pooled.images == tuple(sorted(image for run in folds for image in run.images))
    assert pooled.split_hashes == ("split0", "split1", "split2")
    assert pooled.dataset_hashes == ("data0", "data1", "data2")
    assert pooled.folders == tuple(run.folders[0] for run in folds)
    assert pooled.metrics == tuple(run.metrics[0] for run in folds)
    assert pooled.probabilities is not None
    assert pooled.predicted is not None
    for run in folds:
        assert run.probabilities is not None
        assert run.predicted is not None
        for position, image in enumerate(run.images):
            place = pooled.images.index(image)
            assert (pooled.probabilities[place] == run.probabilities[position]).all()
            assert pooled.predicted[place] == run.predicted[position]
            assert (pooled.labels[place], pooled.groups[place]) == (run.labels[position], run.groups[position])
            assert pooled.per_image["hd95"][place] == pytest.approx(run.per_image["hd95"][position], nan_ok=True)
            assert pooled.per_image["dice"][place] == run.per_image["dice"][position]


def test_networks_are_pooled_by_name(make_run: RunMaker) -> None:
    runs = [make_run(name, SMALL, fold=fold) for fold in (0, 1) for name in ("unetpp", "acsnet")]
    assert [(run.name, len(run.folders), len(run.images)) for run in pool_networks(runs)] == [
        ("unetpp", 2, 6),
        ("acsnet", 2, 6),
    ]


def test_without_classes_there_is_nothing_to_pool_of_them(make_run: RunMaker) -> None:
    folds = [replace(make_run(fold=fold), predicted=None, probabilities=None) for fold in (0, 1)]
    assert pool_folds(folds).predicted is None


def test_runs_that_cannot_be_pooled(make_run: RunMaker) -> None:
    first, second = make_run("unet", SMALL), make_run("unet", SMALL, fold=1)
    with pytest.raises(InputError, match="received runs of acsnet, unet: expected runs of one network"):
        pool_folds([first, make_run("acsnet", SMALL)])
    with pytest.raises(InputError, match="received runs of no network"):
        pool_folds([])
    with pytest.raises(RunError, match=r"unet was tested more than once on busi/fold 0 \(0\).png, .*no fold twice"):
        pool_folds([first, first])
    with pytest.raises(RunError, match=r"unet \(.*unet_0\) and unet \(.*unet_1\) cannot be pooled: .* are dice/"):
        pool_folds([first, replace(second, per_image={})])
    with pytest.raises(RunError, match="cannot be pooled: subsets are test and all"):
        pool_folds([first, replace(second, subset="all")])


DIFFERENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"class_names": ("malignant", "benign", "normal")},
        "class orders are benign, malignant, normal and malignant, benign, normal",
    ),
    ({"subset": "val"}, "subsets are test and val"),
    ({"split_hashes": ("other",)}, "split hashes are split0 and other$"),
    ({"split_hashes": (None,)}, "split hashes are split0 and no split$"),
    (
        {"labels": ("benign", "benign", "normal")},
        r"classes of 1 images differ: busi/fold 0 \(1\).png \(malignant and benign\)",
    ),
    ({"groups": ("a", "b", "c")}, r"groups of 3 images differ: busi/fold 0 \(0\).png \(busi/fold 0 \(0\).png and a\)"),
    (
        {"dataset_hashes": ("x",)},
        "images of the same names have different pixels: dataset hashes are data0 and x",
    ),
]


@pytest.mark.parametrize(("changes", "match"), DIFFERENCES, ids=[next(iter(changes)) for changes, _ in DIFFERENCES])
def test_networks_that_cannot_be_compared(make_run: RunMaker, changes: dict[str, Any], match: str) -> None:
    first, second = make_run("unet", SMALL), make_run("acsnet", SMALL, seed=1)
    check_comparable([first, second])
    with pytest.raises(RunError, match=rf"unet \(.*unet_0\) and acsnet \(.*acsnet_0\) cannot be compared: {match}"):
        check_comparable([first, second, replace(second, **changes)])


def test_other_images_are_named(make_run: RunMaker) -> None:
    first, second = make_run("unet", SMALL * 3), make_run("acsnet", SMALL)
    with pytest.raises(RunError) as caught:
        check_comparable([first, second])
    assert str(caught.value).endswith(
        "cannot be compared: 9 and 3 images; only in unet: busi/fold 0 (3).png, busi/fold 0 (4).png, "
        "busi/fold 0 (5).png, busi/fold 0 (6).png, busi/fold 0 (7).png and 1 more"
    )
    with pytest.raises(RunError) as caught:
        check_comparable([make_run("unet", SMALL[:1]), make_run("acsnet", SMALL[:1], fold=1)])
    assert str(caught.value).endswith(
        "split hashes are split0 and split1; 1 and 1 images; only in unet: busi/fold 0 (0).png; "
        "only in acsnet: busi/fold 1 (0).png"
    )


def test_networks_that_lack_a_fold_are_left_out(make_run: RunMaker) -> None:
    whole = [make_run(name, SMALL, fold=fold) for name in ("unet", "acsnet") for fold in (0, 1, 2)]
    part = [make_run("unetpp", SMALL, fold=1)]
    assert leave_out_incomplete(whole) == (whole, [])
    kept, problems = leave_out_incomplete([*part, *whole])
    assert [id(run) for run in kept] == [id(run) for run in whole]
    assert problems == ["unetpp was not tested on 2 of 3 splits (split0, split2): it is left out"]
    check_comparable(pool_networks(kept))


def test_order_of_runs_does_not_matter(make_run: RunMaker) -> None:
    runs = [make_run(name, SMALL, fold=fold, seed=fold) for name, fold in (("a", 0), ("b", 1), ("b", 0), ("a", 1))]
    first, second = pool_networks(runs)
    check_comparable([first, second])
    assert np.array_equal(first.per_image["dice"], second.per_image["dice"])


def test_runs_selected_on_the_test_subset_are_not_compared_with_others(make_run: RunMaker) -> None:
    theirs, ours = make_run("theirs", SMALL, selection=SELECTED_ON_TEST), make_run("ours", SMALL)
    more = make_run("more", SMALL, selection=SELECTED_ON_TEST)
    assert (theirs.selected_on_test, ours.selected_on_test) == (True, False)
    message = (
        r"^theirs, more: selected on the test subset, which makes metrics too good to compare with those of ours: "
        r"compare them separately, or pass --allow-selected-on-test \(allow_selected_on_test=True\)$"
    )
    with pytest.raises(RunError, match=message):
        check_comparable([theirs, ours, more])
    check_comparable([theirs, ours, more], allow_selected_on_test=True)
    check_comparable([theirs, more])
    for call in (lambda: compare([theirs, ours]), lambda: paired_differences(theirs, ours, ["dice"])):
        with pytest.raises(RunError, match="theirs: selected on the test subset"):
            call()
    notes = compare([theirs, ours], resamples=100, allow_selected_on_test=True).notes
    assert notes[0] == "theirs: selected on the test subset, which makes the metrics too good"
    assert "too good" not in " ".join(compare([ours], resamples=100).notes)


def test_folds_are_selected_alike(make_run: RunMaker) -> None:
    folds = [make_run("unet", SMALL), make_run("unet", SMALL, fold=1, selection=SELECTED_ON_TEST)]
    with pytest.raises(RunError, match="cannot be pooled: only one of them was selected on the test subset"):
        pool_folds(folds)
