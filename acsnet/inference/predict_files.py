"""Prediction of files and folders: masks, overlays and a table."""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from acsnet._utils.files import write_csv, write_png
from acsnet._utils.folders import whole_files
from acsnet._utils.overlay import PREDICTION_COLOR, add_caption, draw_contours, draw_heat
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet.data.frame_paths import choose_frame
from acsnet.data.framing import Frame, log_crops
from acsnet.data.image_files import problem_list
from acsnet.data.images import read_image
from acsnet.data.spacing import Spacing
from acsnet.data.video import is_video, read_video_facts
from acsnet.errors import AcsnetError, DataError, InputError
from acsnet.inference.decision import Prediction
from acsnet.inference.formats import Result, find_formats
from acsnet.inference.formats.overlay_video import OverlayVideos
from acsnet.inference.grad_cam import explain_images
from acsnet.inference.image_spacing import find_spacings, read_spacing_table
from acsnet.inference.input_files import TABLE, UNFINISHED_TABLE, find_images
from acsnet.inference.lesion_shape import find_lesions
from acsnet.inference.measurements import lesion_rows
from acsnet.inference.output_folder import check_output, remove_earlier
from acsnet.inference.predictor import Predictor
from acsnet.inference.result_tables import ResultTables
from acsnet.metrics._distances import check_spacing

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
    inputs: AnyPaths,
    folder: str | Path,
    batch_size: int = 8,
    progress: bool = True,
    uncertainty: bool = False,
    explain: bool = False,
    spacing: Spacing | None = None,
    spacing_table: str | Path | None = None,
    save: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Predict files and folders, and write ``masks/``, ``overlays/``, ``predictions.csv`` and ``lesions.csv``.

    All inputs are read once before anything is written. Results of an earlier prediction are refused, or removed first
    with ``overwrite``. A prediction that fails or is interrupted leaves its finished images and their rows,
    ``predictions.unfinished.csv``; predicting its images again into the same folder starts over. At an
    operating point the table has two more columns: its name, ``operating_point``, and ``malignant_threshold``, the
    probability of "malignant" from which an image is classified as malignant.

    If the network crops images to the scanned region, the table has the columns ``scan``, which is ``cropped``,
    ``whole`` (no margin was found) or ``all margin`` (left whole), and ``crop_top``, ``crop_left``, ``crop_height`` and
    ``crop_width``, the region in pixels of the image. Masks have the size of the image and are empty outside of it.

    If the network has masks, the last columns are the number of lesions, ``lesions``, size and shape of the largest
    one, ``lesion_...``, and the ``spacing``; ``lesions.csv`` has them for each lesion
    (:func:`~acsnet.inference.measurements.lesion_rows`). They describe the predicted mask, and claim no BI-RADS
    category.

    A video, and a DICOM file of several frames, is predicted frame by frame. The tables then have the columns
    ``frame``, counted from 0, and ``time_s``, and ``videos/`` has the overlays of all frames at the rate of the file.

    Args:
        predictor: the predictor.
        inputs: images, videos, and folders of them.
        folder: the output folder.
        batch_size: number of images per forward pass.
        progress: show a progress bar.
        uncertainty: also write ``uncertainty/``, heat maps of the uncertainty of the mask over each image.
        explain: also write ``explanations/``, heat maps of the evidence for the predicted class over each image
            (:func:`~acsnet.inference.class_activation`).
        spacing: millimeters per pixel, (vertical, horizontal), of all images that ``spacing_table`` does not have; by
            default that of the header of a DICOM file.
        spacing_table: CSV file with the columns ``image`` and ``spacing``
            (:func:`~acsnet.inference.image_spacing.read_spacing_table`).
        save: names of further formats of the masks: ``"coco"``, ``"contours"``, ``"dicom-seg"``, ``"geojson"`` and
            ``"labels"`` (:data:`acsnet.inference.formats.FORMATS`).
        overwrite: remove the results of an earlier prediction from the folder first; other files stay.

    Returns:
        Path of the table.

    Raises:
        DataError: if inputs cannot be read, listing all of them, or if the output folder has files that are not of an
            earlier prediction; see also :func:`find_images` and
            :func:`~acsnet.inference.image_spacing.find_spacings`.
        RunError: if the output folder holds the results of an earlier prediction or of a test.
        InputError: if the spacing is not two numbers above 0, ``uncertainty`` is set and the predictor has no mask
            uncertainty, ``explain`` is set and it has no classes, or ``save`` is and it has no masks.
        UnknownNameError: if a format is unknown.
        MissingPackageError: if a package of a format is not installed.
        DiskFullError: if the disk is full.
    """
    inputs = list_paths(inputs)
    folder = Path(folder)
    spacing_table = None if spacing_table is None else Path(spacing_table)
    _check_options(predictor, uncertainty, explain, save)
    if spacing is not None:
        check_spacing(spacing)
    rows_of_spacings = None if spacing_table is None else read_spacing_table(spacing_table)
    kinds = find_formats(save)
    check_output(folder, overwrite)
    images = find_images(inputs)
    files = [file for file, _ in images]
    with ThreadPoolExecutor() as pool:
        _check_readable(pool, files)
        spacings = find_spacings(files, spacing, rows_of_spacings)
        formats = [kind(folder, images, predictor.metadata.network_names) for kind in kinds]
        videos = OverlayVideos(folder, images)
        tables = ResultTables(predictor, files)
        remove_earlier(folder, files, overwrite)
        frames: dict[str, Frame] = {}
        with (
            _unfinished_table(folder, tables.rows),
            videos,
            tqdm(total=len(images), desc="predicting", unit="image", disable=None if progress else True) as bar,
        ):
            for start in range(0, len(images), batch_size):
                chunk = images[start : start + batch_size]
                arrays = _read_images(pool, [file for file, _ in chunk])
                predictions = predictor.predict(arrays, batch_size)
                heat_maps = _compute_heat_maps(predictor, arrays, predictions, uncertainty, explain)
                results = [*map(_build_result, chunk, arrays, predictions, spacings[start : start + batch_size])]
                overlays = list(pool.map(partial(_write, folder), results, heat_maps))
                for result, overlay in zip(results, overlays, strict=True):
                    tables.add(result)
                    videos.add(result.file, overlay)
                    for one in formats:
                        one.add(result)
                frames |= {os.fspath(one.file): one.prediction.frame for one in results if one.prediction.frame}
                bar.update(len(chunk))
            with whole_files(folder) as temporary:
                for one in formats:
                    one.finish(temporary)
                tables.write(temporary)
    if predictor.metadata.crop_margins:
        log_crops(frames)
    return folder / TABLE


def _check_options(predictor: Predictor, uncertainty: bool, explain: bool, save: Sequence[str]) -> None:
    if save and "segmentation" not in predictor.tasks:
        raise InputError(
            "the checkpoint's network does not predict masks, which all formats of --save are made of: leave it out"
        )
    if explain and not predictor.supports_classification:
        raise InputError(
            "the checkpoint's network does not predict classes, so there is no class to explain: leave out --explain"
        )
    if uncertainty and not predictor.supports_mask_uncertainty:
        raise InputError(
            "the uncertainty of a mask needs several predictions per image, from a network with masks: turn on "
            "test-time augmentation (--tta), or use an ensemble"
        )


def _check_readable(pool: ThreadPoolExecutor, files: Sequence[Path]) -> None:
    """Read all images once.

    Raises:
        DataError: if some cannot be read, with a list of them.
    """
    problems = [problem for problem in pool.map(_problem, files) if problem]
    if problems:
        raise DataError(problem_list("the input cannot be used", problems))


def _problem(path: Path) -> str | None:
    try:
        if is_video(path):
            # All frames are decoded to count them.
            choose_frame(path, read_video_facts(path).frames)
        else:
            read_image(path)
    except DataError as error:
        return str(error)
    return None


def _read_images(pool: ThreadPoolExecutor, files: Sequence[Path]) -> list[npt.NDArray[np.uint8]]:
    # Frames of a video are decoded in order.
    return [*map(read_image, files)] if any(map(is_video, files)) else [*pool.map(read_image, files)]


def _build_result(
    image: tuple[Path, Path], pixels: npt.NDArray[np.uint8], prediction: Prediction, spacing: Spacing | None
) -> Result:
    file, name = image
    prediction = replace(prediction, path=file, spacing=spacing)
    lesions = [] if prediction.mask is None else find_lesions(prediction.mask)
    return Result(file, name, pixels, prediction, lesions, lesion_rows(prediction, lesions))


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


def _write(folder: Path, result: Result, heat_maps: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.uint8]:
    """Write the pictures of an image, and return the overlay."""
    overlay = draw_prediction(result.image, result.prediction)
    if result.prediction.mask is not None:
        write_png(folder / "masks" / f"{result.name}.png", result.mask.astype(np.uint8) * np.uint8(255))
    write_png(folder / "overlays" / f"{result.name}.png", overlay)
    for kind, heat_map in heat_maps.items():
        write_png(folder / kind / f"{result.name}.png", draw_heat(result.image, heat_map))
    return overlay


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
