"""Pages of one file, for a browser without a network: templates, style, pictures and figures within the page.

A report is a template that extends ``base.html`` and fills its blocks from the parts of ``parts.html``; both, the style
``page.css`` and the script ``page.js`` lie in ``acsnet/_utils/templates``.
"""

import base64
import io
import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

# What a page shows where there is no value.
NO_VALUE = "–"  # noqa: RUF001


def render(template: str, **values: Any) -> str:
    """Fill a template of ``acsnet/_utils/templates``; every value is escaped, and one that is missing is an error.

    Beside Jinja's own filters there are :func:`count`, :func:`percent` and :func:`decimal`.
    """
    return _environment().get_template(template).render(values | {"version": __version__})


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
    """Write a number of things with its thousands parted: 1,234."""
    return f"{value:,}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share as a percentage; None and NaN as a dash."""
    return NO_VALUE if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a number with so many decimals; None and NaN as a dash."""
    return NO_VALUE if value is None or math.isnan(value) else f"{value:.{digits}f}"


def inline_jpeg(image: npt.NDArray[np.uint8], quality: int = 80) -> str:
    """Give an RGB image (H, W, 3) as the address of an ``img`` that holds the picture itself, as JPEG.

    Args:
        image: the picture.
        quality: of JPEG, 1 to 100.

    Raises:
        InputError: for an array that is not (H, W, 3) uint8, or has no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"a picture is an array (H, W, 3) of uint8 with pixels, not {image.shape} of {image.dtype}")
    # Gray pictures with thin colored lines: colors at half the resolution would wash the lines out and save little.
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return _data_address("image/jpeg", encoded.tobytes())


def inline_plot(figure: "Figure") -> str:
    """Give a Matplotlib figure as the address of an ``img`` that holds the drawing itself, as SVG.

    The figure is one of Matplotlib's object interface (``matplotlib.figure.Figure``): no window, no global state.
    Letters are drawn as outlines, so that the page needs no font.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_address("image/svg+xml", buffer.getvalue())


def _data_address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class Tile(NamedTuple):
    """A large figure: its value, what it is, a remark or "", and "bad", "good" or ""."""

    value: str
    title: str
    remark: str = ""
    mark: str = ""


class Picture(NamedTuple):
    """A picture within the page; its size in pixels keeps its place until it is drawn."""

    address: str
    width: int
    height: int


def to_picture(image: npt.NDArray[np.uint8], quality: int = 78) -> Picture:
    """Give an RGB image (H, W, 3) as a picture within the page, as JPEG of a quality of 1 to 100.

    Raises:
        InputError: for an array that is no picture.
    """
    return Picture(inline_jpeg(image, quality), image.shape[1], image.shape[0])
