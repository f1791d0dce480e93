"""The best and the worst cases of each network, drawn from the predictions that its tests kept."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsnet._utils.html import Picture, to_picture
from acsnet._utils.overlay import PREDICTION_COLOR, TRUTH_COLOR, draw_contours
from acsnet.data import Record
from acsnet.data.images import BoolArray, read_image, read_mask, read_merged_mask, resize_image, resize_mask
from acsnet.data.verify import NORMAL
from acsnet.errors import DataError
from acsnet.inference.saved_predictions import mask_path
from acsnet.report.images import Image
from acsnet.report.networks import Network
from acsnet._utils.typing import Float64Array

# Pixels of the longer side, and how many cases at either end are shown.
SIDE = 300
CASES = 12


@dataclass(frozen=True)
class CaseView:
    """One case of one network.

    Attributes:
        name: of the image; with its dataset where there are several.
        label: its true class.
        predicted: the predicted class, or None of a network without classes.
        probability: of the predicted class, or None.
        dice: of the mask, or None of a network without masks.
        picture: the image with the contours of truth and prediction; None where it cannot be drawn.
        problem: why there is no picture, or "".
    """

    name: str
    label: str
    predicted: str | None
    probability: float | None
    dice: float | None
    picture: Picture | None
    problem: str


@dataclass(frozen=True)
class PictureRow:
    """Some cases side by side, under a title."""

    title: str
    cases: Sequence[CaseView]


@dataclass(frozen=True)
class NetworkPictures:
    """The pictures of one network; ``problem`` says what they lack, or is ""."""

    name: str
    rows: Sequence[PictureRow]
    problem: str


def rank_cases(network: Network) -> tuple[list[int], list[int]]:
    """Give the best and the worst cases of a network, by their places in its result, the extreme ones first.

    Cases with a lesion are ranked by Dice, ties by the probability of the true class; a network without masks by that
    alone, of all cases. No case is in both. Normal cases have a Dice of 0 or 1, and tell nothing in such a ranking.
    """
    result = network.result
    certainty = _certainty(network)
    score = result.per_image.get("dice", certainty)
    candidates = [
        index
        for index, label in enumerate(result.labels)
        if not np.isnan(score[index]) and ("dice" not in result.per_image or label != NORMAL)
    ]
    order = sorted(candidates, key=lambda index: (-score[index], -certainty[index], index))
    shown = min(CASES, len(order) // 2)
    return order[:shown], order[::-1][:shown]


def _certainty(network: Network) -> Float64Array:
    """The probability of the true class of each image (N,); 0 of a network without classes."""
    result = network.result
    if result.probabilities is None:
        return np.zeros(len(result.images))
    places = [result.class_names.index(label) for label in result.labels]
    return result.probabilities[np.arange(len(places)), places]


def draw_cases(network: Network, records: Mapping[Image, Record]) -> NetworkPictures:
    """Draw the best and the worst cases of a network.

    Args:
        network: the network.
        records: the records of the tested images, as far as they are known.
    """
    kept = kept_masks(network)
    best, worst = rank_cases(network)
    with ThreadPoolExecutor() as pool:
        views = [*pool.map(lambda index: _draw(network, index, records, kept), [*best, *worst])]
    gives_masks = "dice" in network.result.per_image
    problem = ""
    if gives_masks and not kept:
        problem = "No predictions were kept: test again with tools/test.py --keep-predictions."
    elif not any(view.picture for view in views):
        problem = "The images are not where the configuration says they are (data.root or data.records)."
    if problem:
        return NetworkPictures(network.name, (), problem)
    by = "Dice of the lesion" if gives_masks else "probability of the true class"
    rows = (
        PictureRow(f"{len(best)} best, by {by}", views[: len(best)]),
        PictureRow(f"{len(worst)} worst", views[len(best) :]),
    )
    return NetworkPictures(network.name, rows, "")


def kept_masks(network: Network) -> dict[Image, Path]:
    """The kept masks of the images of a network, those that are there."""
    paths = {image: mask_path(folder, *image) for run in network.runs for folder in run.folders for image in run.images}
    return {image: path for image, path in paths.items() if path.is_file()}


def _draw(network: Network, index: int, records: Mapping[Image, Record], kept: Mapping[Image, Path]) -> CaseView:
    needs_mask = "dice" in network.result.per_image
    try:
        picture = _overlay(network.result.images[index], records, kept, needs_mask)
    except DataError as error:
        return view_case(network, index, None, str(error))
    return view_case(network, index, picture, "")


def view_case(network: Network, index: int, picture: Picture | None, problem: str) -> CaseView:
    """Put a picture of a case, or why there is none, beside what the network made of it.

    Args:
        network: the network.
        index: the place of the case in the network's result.
        picture: the picture, or None.
        problem: why there is none, or "".
    """
    result = network.result
    predicted, dice = result.predicted, result.per_image.get("dice")
    probability = None
    if predicted is not None and result.probabilities is not None:
        probability = float(result.probabilities[index, result.class_names.index(predicted[index])])
    several = len({dataset for dataset, _ in result.images}) > 1
    return CaseView(
        name="/".join(result.images[index]) if several else result.images[index][1],
        label=result.labels[index],
        predicted=predicted[index] if predicted is not None else None,
        probability=probability,
        dice=None if dice is None else float(dice[index]),
        picture=picture,
        problem=problem,
    )


def _overlay(image: Image, records: Mapping[Image, Record], kept: Mapping[Image, Path], needs_mask: bool) -> Picture:
    if image not in records:
        raise DataError("the image was not found")
    if needs_mask and image not in kept:
        raise DataError("its prediction was not kept")
    record = records[image]
    photo = read_image(record.image)
    size = photo.shape[:2]
    masks = [(read_merged_mask(record.masks, size), TRUTH_COLOR)]
    if image in kept:
        prediction: BoolArray = read_mask(kept[image])
        if prediction.shape != size:
            raise DataError(f"{kept[image]} is of another size than its image")
        masks.append((prediction, PREDICTION_COLOR))
    scale = SIDE / max(size)
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    picture = resize_image(photo, shown)
    for mask, color in masks:
        picture = draw_contours(picture, resize_mask(mask, shown), color)
    return to_picture(picture)
