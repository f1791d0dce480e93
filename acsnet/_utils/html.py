"""Self-contained HTML pages: templates, style, pictures and plots in one file that needs no network.

A report is a template that extends ``base.html`` and fills its blocks with the macros of ``parts.html``. Templates, the
style ``page.css`` and the script ``page.js`` are in ``acsnet/_utils/templates``.
"""

import base64
import io
import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from acsnet._utils.typing import Uint8Image
from acsnet.errors import InputError
from acsnet.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

# The text of a missing value.
NO_VALUE = "–"  # noqa: RUF001


def render(template: str, **values: Any) -> str:
    """Render a template of ``acsnet/_utils/templates`` with escaped values; missing values are errors.

    In addition to Jinja's filters, templates can use :func:`count`, :func:`percent` and :func:`decimal`.
    """
    return _environment().get_template(template).render(values | {"version": __version__})


def read_template(name: str) -> str:
    """Return the text of a file of ``acsnet/_utils/templates`` as it is, such as a style or a script."""
    source, _, _ = _environment().loader.get_source(_environment(), name)  # type: ignore[union-attr]
    return source


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("acsnet._utils"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "percent": percent, "decimal": decimal}
    return environment


def count(value: int) -> str:
    """Return an integer with a thousands separator: 1,234."""
    return f"{value:,}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage, or a dash for None and NaN.

    Example:
        >>> percent(0.1234)
        '12.3 %'
    """
    return NO_VALUE if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with this many decimals, or a dash for None and NaN."""
    return NO_VALUE if value is None or math.isnan(value) else f"{value:.{digits}f}"


def inline_jpeg(image: Uint8Image, quality: int = 80) -> str:
    """Return an RGB image (H, W, 3) as a data URL of a JPEG file.

    Args:
        image: the image.
        quality: the quality of the JPEG file, 1-100.

    Raises:
        InputError: if the array is not (H, W, 3) uint8, or has no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"expected an image (H, W, 3) of uint8 with pixels, got {image.shape} of {image.dtype}")
    # Full color resolution: gray images with thin colored lines would lose the lines, and get little smaller.
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return _data_url("image/jpeg", encoded.tobytes())


def inline_plot(plot: "Figure") -> str:
    """Return a plot as a data URL of an SVG file.

    Create the plot as a ``matplotlib.figure.Figure``, which needs neither a window nor global state. Text is drawn as
    outlines, so that the page needs no font.
    """
    buffer = io.BytesIO()
    plot.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_url("image/svg+xml", buffer.getvalue())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Tile(NamedTuple):
    """A highlighted value: the value, its name, a remark or "", and a mark: "bad", "good" or ""."""

    value: str
    title: str
    remark: str = ""
    mark: str = ""


class Picture(NamedTuple):
    """A picture of a page as a data URL; its size in pixels reserves its space until it is drawn."""

    address: str
    width: int
    height: int


def to_picture(image: Uint8Image, quality: int = 78) -> Picture:
    """Return an RGB image (H, W, 3) as a picture of a page, in JPEG format with a quality of 1-100.

    Raises:
        InputError: if the array is not an image.
    """
    return Picture(inline_jpeg(image, quality), image.shape[1], image.shape[0])
