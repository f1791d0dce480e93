"""The tables of a prediction: one row per image, and one per lesion."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_csv
from acsnet.data.frame_facts import has_frames, read_frame_facts
from acsnet.data.frame_paths import split_frame
from acsnet.data.framing import Frame
from acsnet.data.spacing import format_spacing
from acsnet.inference.decision import Prediction
from acsnet.inference.formats import Result
from acsnet.inference.input_files import LESION_TABLE, TABLE
from acsnet.inference.measurements import COLUMNS, largest_lesion
from acsnet.inference.predictor import Predictor
from acsnet.inference.uncertainty import mean_mask_uncertainty

_FRAME_COLUMNS = ("frame", "time_s")


class ResultTables:
    """``predictions.csv`` and, for a network with masks, ``lesions.csv``.

    Args:
        predictor: the predictor.
        images: all images; if one of them is a frame of a file, the tables have the columns ``frame`` and ``time_s``.

    Attributes:
        rows: the rows of ``predictions.csv`` so far.
    """

    def __init__(self, predictor: Predictor, images: Sequence[Path]) -> None:
        self.rows: list[dict[str, Any]] = []
        self._lesions: list[dict[str, Any]] = []
        self._predictor = predictor
        self._has_frames = any(split_frame(image)[1] is not None for image in images)

    def add(self, result: Result) -> None:
        """Add the rows of an image."""
        predictor, prediction = self._predictor, result.prediction
        image = os.fspath(result.file)
        frame = _frame_columns(result.file) if self._has_frames else {}
        row = {"image": image, "predicted": prediction.label, **_describe(predictor, prediction)}
        if prediction.mask is not None:
            row |= largest_lesion(prediction, result.rows)
        self.rows.append(row | frame)
        spacing = format_spacing(prediction.spacing)
        self._lesions += [{"image": image, **lesion, "spacing": spacing, **frame} for lesion in result.rows]

    def write(self, folder: Path) -> None:
        """Write the tables into a folder."""
        if "segmentation" in self._predictor.tasks:
            columns = ("image", *COLUMNS, "spacing", *(_FRAME_COLUMNS if self._has_frames else ()))
            write_csv(folder / LESION_TABLE, self._lesions, columns)
        write_csv(folder / TABLE, self.rows)


def _describe(predictor: Predictor, prediction: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    if predictor.operating_point is not None:
        row["operating_point"] = predictor.evaluation.operating_point
        row["malignant_threshold"] = predictor.operating_point.threshold
    if prediction.mask is not None:
        row["mask_area_fraction"] = float(prediction.mask.mean())
        if prediction.mask_uncertainty is not None:
            row["mask_uncertainty"] = mean_mask_uncertainty(prediction.mask_uncertainty, prediction.mask)
    if prediction.label_uncertainty is not None:
        row["label_uncertainty"] = prediction.label_uncertainty
    if predictor.metadata.crop_margins and prediction.frame is not None:
        row |= _describe_crop(prediction.frame)
    return row


def _describe_crop(frame: Frame) -> dict[str, Any]:
    found = "cropped" if frame.is_cropped else "whole"
    region = {f"crop_{name}": value for name, value in frame.region._asdict().items()}
    return {"scan": "all margin" if frame.is_all_margin else found, **region}


def _frame_columns(image: Path) -> dict[str, Any]:
    """Return the number of a frame, and its time in seconds if the file declares a rate; None for other images."""
    file, frame = split_frame(image)
    rate = _rate(file) if frame is not None else None
    return dict(zip(_FRAME_COLUMNS, (frame, None if rate is None or frame is None else frame / rate), strict=True))


@lru_cache(maxsize=1)
def _rate(file: Path) -> float | None:
    # Read once for all frames of a file, which follow each other.
    return read_frame_facts(file).rate if has_frames(file) else None
