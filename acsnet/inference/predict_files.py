"""Prediction of files and folders: masks, overlays and a table."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from acsnet._utils.files import write_csv, write_png
from acsnet._utils.overlay import PREDICTION_COLOR, add_caption, draw_contours, draw_heat
from acsnet.data.framing import Frame, log_crops
from acsnet.data.image_files import problem_list
from acsnet.data.images import read_image
from acsnet.errors import AcsnetError, DataError, InputError
from acsnet.inference.decision import Prediction
from acsnet.inference.grad_cam import explain_images
from acsnet.inference.input_files import TABLE, UNFINISHED_TABLE, find_images
from acsnet.inference.output_folder import check_output, remove_earlier
from acsnet.inference.predictor import Predictor
from acsnet.inference.uncertainty import mean_mask_uncertainty

logger = logging.getLogger(__name__)


@contextmanager
def _unfinished_table(folder: Path, rows: list[dict[str, Any]]) -> Iterator[None]:
    """Mark a folder as that of a prediction during the block; if the block fails, the rows so far stay in a table."""
    table = folder / UNFINISHED_TABLE
    write_csv(table, [], ["image"])
    try:
        yield
    except BaseException:
        # If nothing can be written, the first error is the one to report.
        with suppress(AcsnetError):
            if rows:
                write_csv(table, rows)
        raise
    table.unlink()


def predict_files(
    predictor: Predictor,
    inputs: Sequence[Path],
    folder: Path,
    batch_size: int = 8,
    progress: bool = True,
    uncertainty: bool = False,
    explain: bool = False,
    overwrite: bool = False,
) -> Path:
    """Predict files and folders, and write ``masks/``, ``overlays/`` and ``predictions.csv``.

    All inputs are read once before anything is written. Results of an earlier prediction are refused, or removed first
    with ``overwrite``. A prediction that fails or is interrupted leaves its finished images and their rows,
    ``predictions.unfinished.csv``; predicting its images again into the same folder starts over. At an
    operating point the table has two more columns: its name, ``operating_point``, and ``malignant_threshold``, the
    probability of "malignant" from which an image is classified as malignant.

    If the network crops images to the scanned region, the table has the columns ``scan``, which is ``cropped``,
    ``whole`` (no margin was found) or ``all margin`` (left whole), and ``crop_top``, ``crop_left``, ``crop_height`` and
    ``crop_width``, the region in pixels of the image. Masks have the size of the image and are empty outside of it.

    Args:
        predictor: the predictor.
        inputs: images, and folders of images.
        folder: the output folder.
        batch_size: number of images per forward pass.
        progress: show a progress bar.
        uncertainty: also write ``uncertainty/``, heat maps of the uncertainty of the mask over each image.
        explain: also write ``explanations/``, heat maps of the evidence for the predicted class over each image
            (:func:`~acsnet.inference.class_activation`).
        overwrite: remove the results of an earlier prediction from the folder first; other files stay.

    Returns:
        Path of the table.

    Raises:
        DataError: if inputs cannot be read, listing all of them, or if the output folder has files that are not of an
            earlier prediction; see also :func:`find_images`.
        RunError: if the output folder holds the results of an earlier prediction or of a test.
        InputError: if ``uncertainty`` is set and the predictor has no mask uncertainty, or ``explain`` is set and it
            has no classes.
        DiskFullError: if the disk is full.
    """
    _check_options(predictor, uncertainty, explain)
    check_output(folder, overwrite)
    images = find_images(inputs)
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(_problem, [file for file, _ in images]) if problem]
        if problems:
            raise DataError(problem_list("the input cannot be used", problems))
        remove_earlier(folder, [file for file, _ in images], overwrite)
        rows: list[dict[str, Any]] = []
        frames: dict[str, Frame] = {}
        with (
            _unfinished_table(folder, rows),
            tqdm(total=len(images), desc="predicting", unit="image", disable=None if progress else True) as bar,
        ):
            for start in range(0, len(images), batch_size):
                chunk = images[start : start + batch_size]
                arrays = list(pool.map(read_image, [file for file, _ in chunk]))
                predictions = predictor.predict(arrays, batch_size)
                heat_maps = _compute_heat_maps(predictor, arrays, predictions, uncertainty, explain)
                names = [name for _, name in chunk]
                list(pool.map(partial(_write, folder), names, arrays, predictions, heat_maps))
                crops, point = predictor.metadata.crop_margins, _operating_point_columns(predictor)
                rows += [_row(file, one, crops, point) for (file, _), one in zip(chunk, predictions, strict=True)]
                pairs = zip(chunk, predictions, strict=True)
                frames |= {os.fspath(file): one.frame for (file, _), one in pairs if one.frame is not None}
                bar.update(len(chunk))
            table = folder / TABLE
            write_csv(table, rows)
    if predictor.metadata.crop_margins:
        log_crops(frames)
    return table


def _check_options(predictor: Predictor, uncertainty: bool, explain: bool) -> None:
    if explain and not predictor.supports_classification:
        raise InputError(
            "the checkpoint's network does not predict classes, so there is no class to explain: leave out --explain"
        )
    if uncertainty and not predictor.supports_mask_uncertainty:
        raise InputError(
            "the uncertainty of a mask needs several predictions per image, from a network with masks: turn on "
            "test-time augmentation (--tta), or use an ensemble"
        )


def _problem(path: Path) -> str | None:
    try:
        read_image(path)
    except DataError as error:
        return str(error)
    return None


def _compute_heat_maps(
    predictor: Predictor,
    images: Sequence[npt.NDArray[np.uint8]],
    predictions: Sequence[Prediction],
    uncertainty: bool,
    explain: bool,
) -> list[dict[str, npt.NDArray[np.float32]]]:
    """Return the heat maps per image, by the name of their output folder."""
    heat_maps: list[dict[str, npt.NDArray[np.float32]]] = [{} for _ in images]
    if uncertainty:
        for maps, prediction in zip(heat_maps, predictions, strict=True):
            assert prediction.mask_uncertainty is not None  # checked before anything was predicted
            maps["uncertainty"] = prediction.mask_uncertainty
    if explain:
        classes = predictor.metadata.class_names
        predicted = torch.tensor([classes.index(str(prediction.label)) for prediction in predictions])
        explanations = explain_images(predictor.model, predictor.metadata, images, predicted)
        for maps, explanation in zip(heat_maps, explanations, strict=True):
            maps["explanations"] = explanation
    return heat_maps


def _write(
    folder: Path,
    name: Path,
    image: npt.NDArray[np.uint8],
    prediction: Prediction,
    heat_maps: dict[str, npt.NDArray[np.float32]],
) -> None:
    if prediction.mask is not None:
        write_png(folder / "masks" / f"{name}.png", prediction.mask.astype(np.uint8) * np.uint8(255))
    write_png(folder / "overlays" / f"{name}.png", draw_prediction(image, prediction))
    for kind, heat_map in heat_maps.items():
        write_png(folder / kind / f"{name}.png", draw_heat(image, heat_map))


def draw_prediction(image: npt.NDArray[np.uint8], prediction: Prediction) -> npt.NDArray[np.uint8]:
    """Draw a prediction: the outline of the mask on the image, and the class and its probability in a strip below.

    Args:
        image: (H, W, 3) uint8, RGB.
        prediction: prediction for the image.

    Returns:
        (H + strip, W, 3) uint8, RGB; without a strip if the network does not predict classes.
    """
    picture = image if prediction.mask is None else draw_contours(image, prediction.mask, PREDICTION_COLOR)
    if prediction.label is None or prediction.probabilities is None:
        return picture
    return add_caption(picture, f"{prediction.label} {prediction.probabilities[prediction.label]:.2f}")


def _operating_point_columns(predictor: Predictor) -> dict[str, Any]:
    point = predictor.operating_point
    if point is None:
        return {}
    return {"operating_point": predictor.evaluation.operating_point, "malignant_threshold": point.threshold}


def _row(path: Path, prediction: Prediction, crops: bool, operating_point: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"image": os.fspath(path), "predicted": prediction.label}
    row |= {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    row |= operating_point
    if prediction.mask is not None:
        row["mask_area_fraction"] = float(prediction.mask.mean())
        if prediction.mask_uncertainty is not None:
            row["mask_uncertainty"] = mean_mask_uncertainty(prediction.mask_uncertainty, prediction.mask)
    if prediction.label_uncertainty is not None:
        row["label_uncertainty"] = prediction.label_uncertainty
    if crops and prediction.frame is not None:
        row |= _describe_crop(prediction.frame)
    return row


def _describe_crop(frame: Frame) -> dict[str, Any]:
    found = "cropped" if frame.is_cropped else "whole"
    region = {f"crop_{name}": value for name, value in frame.region._asdict().items()}
    return {"scan": "all margin" if frame.is_all_margin else found, **region}
