"""Pictures of the best and the worst cases of each network, drawn from saved predictions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acsnet._utils.html import Picture, to_picture
from acsnet._utils.overlay import PREDICTION_COLOR, TRUTH_COLOR, draw_contours
from acsnet._utils.typing import Float64Array
from acsnet.data import Record
from acsnet.data.images import read_image, read_mask, read_merged_mask, resize_image, resize_mask
from acsnet.errors import DataError
from acsnet.inference.saved_predictions import mask_path
from acsnet.labels import NORMAL
from acsnet.report.images import NOT_FOUND, ImageKey
from acsnet.report.tested_networks import Network

# The longer side of a picture in pixels.
SIDE = 300
# The number of best cases shown, and of worst ones.
CASES = 12


@dataclass(frozen=True)
class CasePicture:
    """One case of one network with its picture.

    Attributes:
        name: the name of the image, preceded by its dataset if there are several.
        label: the true class.
        predicted: the predicted class, or None for a network without classes.
        probability: the probability of the predicted class, or None.
        dice: the Dice of the mask, or None for a network without masks.
        picture: the image with the contours of truth and prediction, or None if it cannot be drawn.
        problem: why the picture is missing, or "".
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
    """A row of cases with a title."""

    title: str
    cases: Sequence[CasePicture]


@dataclass(frozen=True)
class NetworkPictures:
    """The pictures of one network; ``problem`` says why they are missing, or is ""."""

    name: str
    rows: Sequence[PictureRow]
    problem: str


def rank_cases(network: Network) -> tuple[list[int], list[int]]:
    """Return the indices of the best and of the worst cases of a network, the most extreme first.

    Cases with a lesion are ranked by Dice, with ties ordered by the probability of the true class. For networks without
    masks, all cases are ranked by this probability. No case is in both lists. Normal cases are left out of a ranking by
    Dice, because theirs is 0 or 1.
    """
    result = network.result
    certainty = _true_class_probability(network)
    values = result.per_image.get("dice", certainty)
    candidates = [
        index
        for index, label in enumerate(result.labels)
        if not np.isnan(values[index]) and ("dice" not in result.per_image or label != NORMAL)
    ]
    order = sorted(candidates, key=lambda index: (-values[index], -certainty[index], index))
    shown = min(CASES, len(order) // 2)
    return order[:shown], order[::-1][:shown]


def _true_class_probability(network: Network) -> Float64Array:
    """Return the probability of the true class of each image (N,), 0 for a network without classes."""
    result = network.result
    if result.probabilities is None:
        return np.zeros(len(result.images))
    classes = [result.class_names.index(label) for label in result.labels]
    return result.probabilities[np.arange(len(classes)), classes]


def draw_cases(network: Network, records: Mapping[ImageKey, Record]) -> NetworkPictures:
    """Draw the best and the worst cases of a network.

    Args:
        network: the network.
        records: the records of the tested images that were found.
    """
    saved = find_saved_masks(network)
    best, worst = rank_cases(network)
    with ThreadPoolExecutor() as pool:
        cases = [*pool.map(lambda index: _draw(network, index, records, saved), [*best, *worst])]
    has_masks = "dice" in network.result.per_image
    problem = why_none(network, [*best, *worst], records)
    if has_masks and not saved:
        problem = "No predictions were saved: test again with acsnet test --save-predictions."
    if problem:
        return NetworkPictures(network.name, (), problem)
    criterion = "Dice of the lesion" if has_masks else "probability of the true class"
    rows = (
        PictureRow(f"{len(best)} best, by {criterion}", cases[: len(best)]),
        PictureRow(f"{len(worst)} worst", cases[len(best) :]),
    )
    return NetworkPictures(network.name, rows, "")


def why_none(network: Network, indices: Sequence[int], records: Mapping[ImageKey, Record]) -> str:
    """Return why none of some cases of a network can be drawn, or "" if the image of one of them was found."""
    if not indices:
        return "Fewer than two images can be ranked as best and worst."
    return "" if any(network.result.images[index] in records for index in indices) else NOT_FOUND


def find_saved_masks(network: Network) -> dict[ImageKey, Path]:
    """Return the files of the saved masks of a network, by image."""
    paths = {image: mask_path(folder, *image) for run in network.runs for folder in run.folders for image in run.images}
    return {image: path for image, path in paths.items() if path.is_file()}


def _draw(
    network: Network, index: int, records: Mapping[ImageKey, Record], saved: Mapping[ImageKey, Path]
) -> CasePicture:
    needs_mask = "dice" in network.result.per_image
    try:
        picture = _draw_overlay(network.result.images[index], records, saved, needs_mask)
    except DataError as error:
        return describe_case(network, index, None, str(error))
    return describe_case(network, index, picture, "")


def describe_case(network: Network, index: int, picture: Picture | None, problem: str) -> CasePicture:
    """Combine the picture of a case with the predictions of the network.

    Args:
        network: the network.
        index: the index of the case in the network's result.
        picture: the picture, or None.
        problem: why the picture is missing, or "".
    """
    result = network.result
    predicted, dice = result.predicted, result.per_image.get("dice")
    probability = None
    if predicted is not None and result.probabilities is not None:
        probability = float(result.probabilities[index, result.class_names.index(predicted[index])])
    several = len({dataset for dataset, _ in result.images}) > 1
    return CasePicture(
        name="/".join(result.images[index]) if several else result.images[index][1],
        label=result.labels[index],
        predicted=predicted[index] if predicted is not None else None,
        probability=probability,
        dice=None if dice is None else float(dice[index]),
        picture=picture,
        problem=problem,
    )


def _draw_overlay(
    image: ImageKey, records: Mapping[ImageKey, Record], saved: Mapping[ImageKey, Path], needs_mask: bool
) -> Picture:
    if image not in records:
        raise DataError("the image was not found")
    if needs_mask and image not in saved:
        raise DataError("its prediction was not saved")
    record = records[image]
    pixels = read_image(record.image)
    size = pixels.shape[:2]
    masks = [(read_merged_mask(record.masks, size), TRUTH_COLOR)]
    if image in saved:
        prediction = read_mask(saved[image])
        if prediction.shape != size:
            raise DataError(f"{saved[image]} differs in size from its image")
        masks.append((prediction, PREDICTION_COLOR))
    scale = SIDE / max(size)
    shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    picture = resize_image(pixels, shown)
    for mask, color in masks:
        picture = draw_contours(picture, resize_mask(mask, shown), color)
    return to_picture(picture)
