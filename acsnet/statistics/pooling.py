"""Pooling of the folds of one network, and checks that networks are comparable."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from acsnet.errors import InputError, RunError
from acsnet.statistics.runs import SELECTED_ON_TEST, RunResult, name_first

_IMAGE_FIELDS = ("images", "labels", "groups", "predicted", "probabilities", "per_image")


def pool_networks(runs: Sequence[RunResult]) -> list[RunResult]:
    """Pool the runs of each network (:func:`pool_folds`), in order of first appearance.

    Raises:
        RunError: if runs of one network do not match.
    """
    by_name: dict[str, list[RunResult]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    return [pool_folds(several) for several in by_name.values()]


def pool_folds(runs: Sequence[RunResult]) -> RunResult:
    """Pool the runs of one network on several folds into one test of all their images.

    Every image is predicted by the training that has not seen it. A metric of all images may differ from the mean over
    folds: the area under the ROC curve of a pooled result also ranks images of different folds, by scores of different
    trainings.

    Raises:
        InputError: without runs, or for runs of several networks.
        RunError: if an image was tested in more than one run, or the classes, subsets or metrics differ.
    """
    names = sorted({run.name for run in runs})
    if len(names) != 1:
        raise InputError(f"received runs of {', '.join(names) or 'no network'}: expected runs of one network")
    first = runs[0]
    for run in runs[1:]:
        _raise_if_different(first, run, _fold_difference(first, run), "pooled")
    images = [image for run in runs for image in run.images]
    twice = sorted(image for image, times in Counter(images).items() if times > 1)
    if twice:
        raise RunError(
            f"{names[0]} was tested more than once on {name_first([_path(image) for image in twice])}: "
            "pass one run per fold, and no fold twice"
        )
    order = sorted(range(len(images)), key=images.__getitem__)
    image_fields = {field: _concatenate([getattr(run, field) for run in runs], order) for field in _IMAGE_FIELDS}
    return replace(
        first,
        folders=tuple(chain.from_iterable(run.folders for run in runs)),
        split_hashes=tuple(sorted(chain.from_iterable(run.split_hashes for run in runs), key=str)),
        dataset_hashes=tuple(sorted(chain.from_iterable(run.dataset_hashes for run in runs))),
        metrics=tuple(chain.from_iterable(run.metrics for run in runs)),
        provenance=tuple(chain.from_iterable(run.provenance for run in runs)),
        **image_fields,
    )


def leave_out_incomplete(runs: Sequence[RunResult]) -> tuple[list[RunResult], list[str]]:
    """Leave out networks with missing folds, so that the others can still be compared.

    Returns:
        The runs of the networks that were tested on all splits of all networks, and one line per other network.
    """
    tested: dict[str, set[str | None]] = {}
    for run in runs:
        tested.setdefault(run.name, set()).update(run.split_hashes)
    splits = set[str | None]().union(*tested.values())
    incomplete = {name: sorted(map(_name_split, splits - own)) for name, own in tested.items() if own != splits}
    problems = [
        f"{name} was not tested on {len(missing)} of {len(splits)} splits ({name_first(missing)}): it is left out"
        for name, missing in incomplete.items()
    ]
    return [run for run in runs if run.name not in incomplete], problems


def check_comparable(runs: Sequence[RunResult], allow_selected_on_test: bool = False) -> None:
    """Check that all networks were tested on the same images under the same protocol as the first.

    Args:
        runs: the results of each network, pooled over its folds.
        allow_selected_on_test: whether networks whose epoch was selected on the test subset may be compared with
            others.

    Raises:
        RunError: if some networks were selected on the test subset and others were not, or if the class order, subset,
            number of runs, splits, images, or the classes, groups or pixels of images differ; the message names the
            difference.
    """
    if not allow_selected_on_test:
        _check_selection(runs)
    for run in runs[1:]:
        _raise_if_different(runs[0], run, _network_difference(runs[0], run), "compared")


def _check_selection(runs: Sequence[RunResult]) -> None:
    selected = [run.name for run in runs if run.selected_on_test]
    others = [run.name for run in runs if not run.selected_on_test]
    if selected and others:
        raise RunError(
            f"{name_first(selected)}: {SELECTED_ON_TEST}, which makes metrics too good to compare with those of "
            f"{name_first(others)}: compare them separately, or pass --allow-selected-on-test "
            "(allow_selected_on_test=True)"
        )


def _raise_if_different(first: RunResult, second: RunResult, difference: str, purpose: str) -> None:
    if difference:
        one, other = (f"{run.name} ({', '.join(map(str, run.folders))})" for run in (first, second))
        raise RunError(f"{one} and {other} cannot be {purpose}: {difference}")


def _fold_difference(first: RunResult, second: RunResult) -> str:
    """Return the difference because of which two runs cannot be folds of one network, or ""."""
    if sorted(first.per_image) != sorted(second.per_image) or (first.predicted is None) != (second.predicted is None):
        return f"their metrics are {_list_metrics(first)} and {_list_metrics(second)}"
    if first.selected_on_test != second.selected_on_test:
        return f"only one of them was {SELECTED_ON_TEST}"
    return _protocol_difference(first, second)


def _protocol_difference(first: RunResult, second: RunResult) -> str:
    if first.class_names != second.class_names:
        return f"class orders are {', '.join(first.class_names)} and {', '.join(second.class_names)}"
    if first.subset != second.subset:
        return f"subsets are {first.subset} and {second.subset}"
    return ""


def _network_difference(first: RunResult, second: RunResult) -> str:
    """Return the first difference because of which two networks cannot be compared, or ""."""
    protocol = _protocol_difference(first, second)
    if protocol:
        return protocol
    if first.images != second.images:
        return f"{_hash_difference(first, second)}{_image_difference(first, second)}"
    if first.split_hashes != second.split_hashes:
        return _hash_difference(first, second).removesuffix("; ")
    for field, one, other in (("classes", first.labels, second.labels), ("groups", first.groups, second.groups)):
        different = [
            f"{_path(image)} ({a} and {b})" for image, a, b in zip(first.images, one, other, strict=True) if a != b
        ]
        if different:
            return f"{field} of {len(different)} images differ: {name_first(different)}"
    if first.dataset_hashes != second.dataset_hashes:
        return (
            f"images of the same names have different pixels: dataset hashes are {', '.join(first.dataset_hashes)} and "
            f"{', '.join(second.dataset_hashes)}"
        )
    return ""


def _hash_difference(first: RunResult, second: RunResult) -> str:
    if first.split_hashes == second.split_hashes:
        return ""
    one, other = ("/".join(map(_name_split, run.split_hashes)) for run in (first, second))
    return f"split hashes are {one} and {other}; "


def _image_difference(first: RunResult, second: RunResult) -> str:
    differences = [f"{len(first.images)} and {len(second.images)} images"]
    for run, other in ((first, second), (second, first)):
        only = [_path(image) for image in sorted({*run.images} - {*other.images})]
        if only:
            differences.append(f"only in {run.name}: {name_first(only)}")
    return "; ".join(differences)


def _name_split(value: str | None) -> str:
    return value or "no split"


def _list_metrics(run: RunResult) -> str:
    return "/".join(run.per_image) + ("/classes" if run.predicted is not None else "")


def _path(image: tuple[str, str]) -> str:
    return "/".join(image)


def _concatenate(fields: Sequence[Any], order: Sequence[int]) -> Any:
    """Concatenate one field of several runs in the order of the images: strings, numbers, mappings or None."""
    if fields[0] is None:
        return None
    if isinstance(fields[0], Mapping):
        return {key: _concatenate([field[key] for field in fields], order) for key in fields[0]}
    if isinstance(fields[0], np.ndarray):
        return np.concatenate(fields)[list(order)]
    values = [value for field in fields for value in field]
    return tuple(values[index] for index in order)
