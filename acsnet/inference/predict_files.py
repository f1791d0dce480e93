"""Predicting files and folders: masks, overlays and a table."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from acsnet._utils.files import write_csv, write_png
from acsnet._utils.overlay import PREDICTION_COLOR, add_caption, draw_contours, draw_heat
from acsnet.data.dicom import is_dicom, read_dicom_facts
from acsnet.data.frame_paths import file_of, split_frame
from acsnet.data.image_files import is_mask, problem_list
from acsnet.data.images import IMAGE_SUFFIXES, read_image
from acsnet.errors import DataError, InputError
from acsnet.inference.decision import Prediction
from acsnet.inference.grad_cam import explain_images
from acsnet.inference.predictor import Predictor
from acsnet.inference.saved_predictions import result_name
from acsnet.inference.uncertainty import mean_mask_uncertainty


def find_images(inputs: Sequence[Path]) -> list[tuple[Path, Path]]:
    """List the images among files and folders; a folder's masks (``*_mask.png``) and hidden files are left out.

    A DICOM file of several frames stands for all of them, "cine.dcm#3" for one.

    Returns:
        Pairs of the image and the path its results get below the output folder, without suffix.

    Raises:
        DataError: for an input that is missing or no image, a folder without images, two inputs whose results would
            have one name.
    """
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if _is_image(file)]
            if not inside:
                raise DataError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
            found += [(file, result_name(file.relative_to(path))) for one in inside for file in _frames(one)]
        elif not file_of(path).exists():
            raise DataError(f"there is no image {path}")
        else:
            found += [(file, result_name(Path(file.name))) for file in _frames(path)]
    sources: dict[Path, Path] = {}
    for file, name in found:
        if sources.setdefault(name, file) != file:
            raise DataError(f"{sources[name]} and {file} would both be written as {name}.png: predict them separately")
    return found


def _frames(path: Path) -> list[Path]:
    if not is_dicom(path) or split_frame(path)[1] is not None:
        return [path]
    try:
        count = read_dicom_facts(path).frames
    except DataError:
        # Told with all else that cannot be read.
        return [path]
    return [path.with_name(f"{path.name}#{frame}") for frame in range(count)] if count > 1 else [path]


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and not is_mask(path)


def predict_files(
    predictor: Predictor,
    inputs: Sequence[Path],
    folder: Path,
    batch_size: int = 8,
    progress: bool = True,
    uncertainty: bool = False,
    explain: bool = False,
) -> Path:
    """Predict files and folders into ``folder``: ``masks/``, ``overlays/`` and ``predictions.csv``.

    Every input is read once before anything is written. Results of the same name are replaced, each as a whole.

    Args:
        predictor: the network.
        inputs: images, and folders of images.
        folder: where to write.
        batch_size: images a forward pass.
        progress: show a progress bar.
        uncertainty: also write ``uncertainty/``, the mask's uncertainty over each image.
        explain: also write ``explanations/``, what in each image speaks for the class that was predicted
            (:func:`~acsnet.inference.class_activation`).

    Returns:
        The path of the table.

    Raises:
        DataError: listing every input that cannot be read; see also :func:`find_images`.
        InputError: for uncertainty of a predictor that knows none, or whose networks have no masks; for explanations
            of networks that have no classes.
    """
    if explain and not predictor.has_classes:
        raise InputError("the checkpoint's network gives no classes, so there is none to explain: leave out --explain")
    if uncertainty and not predictor.has_mask_uncertainty:
        raise InputError(
            "the uncertainty of a mask needs several opinions of each image, from a network with masks: turn on "
            "test-time augmentation (--tta), or take an ensemble"
        )
    images = find_images(inputs)
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(_problem, [file for file, _ in images]) if problem]
        if problems:
            raise DataError(problem_list("the input cannot be used", problems))
        rows: list[dict[str, Any]] = []
        with tqdm(total=len(images), desc="predicting", unit="image", disable=None if progress else True) as bar:
            for start in range(0, len(images), batch_size):
                chunk = images[start : start + batch_size]
                pictures = list(pool.map(read_image, [file for file, _ in chunk]))
                predictions = predictor.predict(pictures)
                heats = _heats(predictor, pictures, predictions, uncertainty, explain)
                names = [name for _, name in chunk]
                list(pool.map(partial(_write, folder), names, pictures, predictions, heats))
                rows += [_row(file, *values) for (file, _), *values in zip(chunk, predictions, strict=True)]
                bar.update(len(chunk))
    table = folder / "predictions.csv"
    write_csv(table, rows)
    return table


def _problem(path: Path) -> str | None:
    try:
        read_image(path)
    except DataError as error:
        return str(error)
    return None


def _heats(
    predictor: Predictor,
    images: Sequence[npt.NDArray[np.uint8]],
    predictions: Sequence[Prediction],
    uncertainty: bool,
    explain: bool,
) -> list[dict[str, npt.NDArray[np.float32]]]:
    """What is laid over each image, by the name of its folder."""
    heats: list[dict[str, npt.NDArray[np.float32]]] = [{} for _ in images]
    if uncertainty:
        for heat, prediction in zip(heats, predictions, strict=True):
            assert prediction.mask_uncertainty is not None  # checked before anything was predicted
            heat["uncertainty"] = prediction.mask_uncertainty
    if explain:
        classes = predictor.metadata.class_names
        predicted = torch.tensor([classes.index(str(prediction.label)) for prediction in predictions])
        for heat, activation in zip(
            heats, explain_images(predictor.model, predictor.metadata, images, predicted), strict=True
        ):
            heat["explanations"] = activation
    return heats


def _write(
    folder: Path,
    name: Path,
    image: npt.NDArray[np.uint8],
    prediction: Prediction,
    heats: dict[str, npt.NDArray[np.float32]],
) -> None:
    if prediction.mask is not None:
        write_png(folder / "masks" / f"{name}.png", prediction.mask.astype(np.uint8) * np.uint8(255))
    write_png(folder / "overlays" / f"{name}.png", draw_prediction(image, prediction))
    for kind, heat in heats.items():
        write_png(folder / kind / f"{name}.png", draw_heat(image, heat))


def draw_prediction(image: npt.NDArray[np.uint8], prediction: Prediction) -> npt.NDArray[np.uint8]:
    """An RGB image (H, W, 3) with the outline of the predicted mask, and class and probability in a strip below it."""
    picture = image if prediction.mask is None else draw_contours(image, prediction.mask, PREDICTION_COLOR)
    if prediction.label is None or prediction.probabilities is None:
        return picture
    return add_caption(picture, f"{prediction.label} {prediction.probabilities[prediction.label]:.2f}")


def _row(path: Path, prediction: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {"image": os.fspath(path), "predicted": prediction.label}
    row |= {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    if prediction.mask is not None:
        row["mask_area_fraction"] = float(prediction.mask.mean())
        if prediction.mask_uncertainty is not None:
            row["mask_uncertainty"] = mean_mask_uncertainty(prediction.mask_uncertainty, prediction.mask)
    if prediction.label_uncertainty is not None:
        row["label_uncertainty"] = prediction.label_uncertainty
    return row
