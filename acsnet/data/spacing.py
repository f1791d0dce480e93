"""Spacing: millimeters per pixel, (vertical, horizontal), as text and as a header declares it."""

import math
from pathlib import Path

from acsnet.data.dicom import is_dicom, read_dicom_facts
from acsnet.errors import InputError

# Millimeters per pixel, (vertical, horizontal).
Spacing = tuple[float, float]
#: Between the two numbers in tables.
SEPARATOR = ";"


def parse_spacing(text: str, separator: str = SEPARATOR) -> Spacing:
    """Return a spacing from one number for both directions, or from two: vertical and horizontal.

    Args:
        text: millimeters per pixel, as in "0.08" or "0.08;0.07".
        separator: the character between two numbers.

    Raises:
        InputError: if it is not one or two numbers above 0.

    Example:
        >>> parse_spacing("0.08"), parse_spacing("0.08;0.07")
        ((0.08, 0.08), (0.08, 0.07))
    """
    try:
        values = [float(number) for number in text.split(separator)]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value < math.inf for value in values):
        raise InputError(
            f"the spacing {text!r} is not millimeters per pixel: expected one number above 0, or two as "
            f"vertical{separator}horizontal"
        )
    return values[0], values[-1]


def format_spacing(spacing: Spacing | None) -> str:
    """Return a spacing as in tables, "vertical;horizontal", or "" if it is unknown."""
    return SEPARATOR.join(map(repr, spacing or ()))


def declared_spacing(image: Path) -> Spacing | None:
    """Return the spacing in the header of a DICOM file, or None: other formats do not declare one for scans.

    Raises:
        DataError: if a DICOM file cannot be read.
    """
    return read_dicom_facts(image).spacing if is_dicom(image) else None
