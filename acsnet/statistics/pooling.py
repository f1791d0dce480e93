"""Folds of one network put together, and which networks can be compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from acsnet.errors import InputError, RunError
from acsnet.statistics.runs import RunResult, name_first

_PER_IMAGE = ("images", "labels", "groups", "predicted", "probabilities", "measures")


def pool_networks(runs: Sequence[RunResult]) -> list[RunResult]:
    """Pool the runs of each network (:func:`pool_folds`), in order of first appearance.

    Raises:
        RunError: where runs of one network do not fit together.
    """
    by_name: dict[str, list[RunResult]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    return [pool_folds(several) for several in by_name.values()]


def pool_folds(runs: Sequence[RunResult]) -> RunResult:
    """Put the runs of one network on several folds together, as if they were one test of all their images.

    Every image is predicted by the training that had not seen it. A figure of all images need not be the mean of the
    folds' own: the area under the ROC curve of a pooled result also orders images of different folds, by scores of
    different trainings.

    Raises:
        InputError: for no run, or runs of several names.
        RunError: where an image was tested in more than one run, or the classes, the part or the measures differ.
    """
    names = sorted({run.name for run in runs})
    if len(names) != 1:
        raise InputError(f"received runs of {', '.join(names) or 'no network'}: expected those of one network")
    first = runs[0]
    for run in runs[1:]:
        _refuse(first, run, _unlike(first, run), "pooled")
    images = [image for run in runs for image in run.images]
    twice = sorted(image for image, times in Counter(images).items() if times > 1)
    if twice:
        raise RunError(
            f"{names[0]} was tested more than once on {name_first([_path(image) for image in twice])}: "
            "give one run a fold, and no fold twice"
        )
    order = sorted(range(len(images)), key=images.__getitem__)
    per_image = {field: _concatenate([getattr(run, field) for run in runs], order) for field in _PER_IMAGE}
    return replace(
        first,
        folders=tuple(chain.from_iterable(run.folders for run in runs)),
        split_hashes=tuple(sorted(chain.from_iterable(run.split_hashes for run in runs), key=str)),
        dataset_hashes=tuple(sorted(chain.from_iterable(run.dataset_hashes for run in runs))),
        metrics=tuple(chain.from_iterable(run.metrics for run in runs)),
        provenance=tuple(chain.from_iterable(run.provenance for run in runs)),
        **per_image,
    )


def leave_out_incomplete(runs: Sequence[RunResult]) -> tuple[list[RunResult], list[str]]:
    """Leave out the networks that lack a fold, so that the others can still be compared.

    Returns:
        The runs of the networks tested on every split that any of them was tested on, and a line for each other.
    """
    tested: dict[str, set[str | None]] = {}
    for run in runs:
        tested.setdefault(run.name, set()).update(run.split_hashes)
    splits = set[str | None]().union(*tested.values())
    lacking = {name: sorted(map(_split, splits - own)) for name, own in tested.items() if own != splits}
    problems = [
        f"{name} was not tested on {len(missing)} of {len(splits)} splits ({name_first(missing)}): it is left out"
        for name, missing in lacking.items()
    ]
    return [run for run in runs if run.name not in lacking], problems


def check_comparable(runs: Sequence[RunResult]) -> None:
    """Check that networks were tested on the same images under the same protocol, each beside the first.

    Raises:
        RunError: where class order, part, number of runs, split, images, their classes, groups or pixels differ, with
            the difference named.
    """
    for run in runs[1:]:
        _refuse(runs[0], run, _difference(runs[0], run), "compared")


def _refuse(first: RunResult, second: RunResult, difference: str, purpose: str) -> None:
    if difference:
        one, other = (f"{run.name} ({', '.join(map(str, run.folders))})" for run in (first, second))
        raise RunError(f"{one} and {other} cannot be {purpose}: {difference}")


def _unlike(first: RunResult, second: RunResult) -> str:
    """What keeps two runs of one network from being its folds, or ""."""
    if sorted(first.measures) != sorted(second.measures) or (first.predicted is None) != (second.predicted is None):
        return f"measured are {_measured(first)} and {_measured(second)}"
    return _other_protocol(first, second)


def _other_protocol(first: RunResult, second: RunResult) -> str:
    if first.class_names != second.class_names:
        return f"class orders are {', '.join(first.class_names)} and {', '.join(second.class_names)}"
    if first.subset != second.subset:
        return f"parts are {first.subset} and {second.subset}"
    return ""


def _difference(first: RunResult, second: RunResult) -> str:
    """The first thing that keeps two networks from being compared, or ""."""
    protocol = _other_protocol(first, second)
    if protocol:
        return protocol
    if first.images != second.images:
        return f"{_of_hashes(first, second)}{_of_images(first, second)}"
    if first.split_hashes != second.split_hashes:
        return _of_hashes(first, second).removesuffix("; ")
    for what, one, other in (("classes", first.labels, second.labels), ("groups", first.groups, second.groups)):
        unlike = [
            f"{_path(image)} ({a} and {b})" for image, a, b in zip(first.images, one, other, strict=True) if a != b
        ]
        if unlike:
            return f"{what} of {len(unlike)} images differ: {name_first(unlike)}"
    if first.dataset_hashes != second.dataset_hashes:
        return (
            f"images of the same names have other pixels: dataset hashes are {', '.join(first.dataset_hashes)} and "
            f"{', '.join(second.dataset_hashes)}"
        )
    return ""


def _of_hashes(first: RunResult, second: RunResult) -> str:
    if first.split_hashes == second.split_hashes:
        return ""
    one, other = ("/".join(map(_split, run.split_hashes)) for run in (first, second))
    return f"split hashes are {one} and {other}; "


def _of_images(first: RunResult, second: RunResult) -> str:
    parts = [f"{len(first.images)} and {len(second.images)} images"]
    for run, other in ((first, second), (second, first)):
        only = [_path(image) for image in sorted({*run.images} - {*other.images})]
        if only:
            parts.append(f"only in {run.name}: {name_first(only)}")
    return "; ".join(parts)


def _split(value: str | None) -> str:
    return value or "no split"


def _measured(run: RunResult) -> str:
    return "/".join(run.measures) + ("/classes" if run.predicted is not None else "")


def _path(image: tuple[str, str]) -> str:
    return "/".join(image)


def _concatenate(parts: Sequence[Any], order: Sequence[int]) -> Any:
    """One field of several runs, in order of the images: texts, numbers, mappings of these, or None."""
    if parts[0] is None:
        return None
    if isinstance(parts[0], Mapping):
        return {key: _concatenate([part[key] for part in parts], order) for key in parts[0]}
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)[list(order)]
    values = [value for part in parts for value in part]
    return tuple(values[index] for index in order)
