"""What the parts of ``parts.html`` are filled with."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from acsnet.web import inline_jpeg


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
