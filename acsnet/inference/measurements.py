"""Rows of tables with the size and shape of lesions, in pixels and in millimeters.

They describe the predicted mask, not the lesion, and claim no BI-RADS category.
"""

from collections.abc import Sequence
from typing import Any

from acsnet.data.spacing import format_spacing
from acsnet.inference.decision import Prediction
from acsnet.inference.lesion_shape import Lesion, LesionShape, describe_lesion

_LENGTHS = ("width", "height", "perimeter", "long_axis", "short_axis")
_DECIMALS = 6


def _size_columns(unit: str, area_unit: str) -> tuple[str, ...]:
    return (*(f"{name}_{unit}" for name in _LENGTHS), f"area_{area_unit}", f"center_x_{unit}", f"center_y_{unit}")


_MILLIMETERS = _size_columns("mm", "mm2")
#: The columns of one lesion.
COLUMNS = ("lesion", *_size_columns("px", "px"), *_MILLIMETERS, "taller_than_wide", "circularity")


def lesion_rows(prediction: Prediction, lesions: Sequence[Lesion]) -> list[dict[str, Any]]:
    """Return one row per lesion of a prediction.

    Lengths end in ``_px`` and ``_mm``, areas in ``_px`` and ``_mm2``. Those in millimeters are computed on a grid of
    the spacing, not scaled afterwards, and are None if the spacing is unknown. ``taller_than_wide`` ("yes" or "no") and
    ``circularity`` are those of the millimeters where these are known. ``center_x`` and ``center_y`` are the center of
    mass, from the left and the top edge of the image; the first pixel covers 0 to 1.

    Args:
        prediction: the prediction for an image.
        lesions: the lesions of its mask (:func:`find_lesions`).

    Example:
        >>> import numpy as np
        >>> from acsnet.inference import Prediction, find_lesions, lesion_rows
        >>> mask = np.zeros((10, 10), bool)
        >>> mask[2:6, 4:10] = True
        >>> (row,) = lesion_rows(Prediction(mask, None, None, None, spacing=(0.5, 0.1)), find_lesions(mask))
        >>> row["width_px"], row["width_mm"], row["height_mm"], row["taller_than_wide"], row["center_y_px"]
        (6.0, 0.6, 2.0, 'yes', 4.0)
    """
    if prediction.mask is None:
        return []
    rows = []
    for number, lesion in enumerate(lesions, 1):
        center = lesion.center
        own = describe_lesion(lesion, prediction.mask.shape, (1.0, 1.0))
        row: dict[str, Any] = {"lesion": number, **_sizes(own, center, "px", "px"), **dict.fromkeys(_MILLIMETERS)}
        if prediction.spacing is not None:
            down, right = prediction.spacing
            own = describe_lesion(lesion, prediction.mask.shape, (down, right))
            row |= _sizes(own, (center[0] * down, center[1] * right), "mm", "mm2")
        row["taller_than_wide"] = "yes" if own.taller_than_wide else "no"
        row["circularity"] = round(own.circularity, _DECIMALS)
        rows.append(row)
    return rows


def largest_lesion(prediction: Prediction, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of an image: the number of its lesions, the values of the largest, and the spacing.

    Args:
        prediction: the prediction for the image.
        rows: its :func:`lesion_rows`.
    """
    largest = rows[0] if rows else dict.fromkeys(COLUMNS)
    values = {f"lesion_{name}": largest[name] for name in COLUMNS[1:]}
    return {"lesions": len(rows), **values, "spacing": format_spacing(prediction.spacing)}


def _sizes(shape: LesionShape, center: tuple[float, float], unit: str, area_unit: str) -> dict[str, Any]:
    values = (*(getattr(shape, name) for name in _LENGTHS), shape.area, center[1], center[0])
    names = _size_columns(unit, area_unit)
    return {name: round(float(value), _DECIMALS) for name, value in zip(names, values, strict=True)}
