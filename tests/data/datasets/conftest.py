"""Files of synthetic datasets in the published layouts: small images of noise, and tables."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """Return a function that writes one image.

    ``write_image(path, size=(24, 20))`` writes noise that depends on the path; with ``color`` it writes an RGB mask of
    a rectangle. Sizes are (width, height).
    """

    def write(path: Path, size: tuple[int, int] = (24, 20), color: tuple[int, int, int] | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if color is None:
            seed = list(path.name.encode())
            pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
        else:
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[4:12, 6:15] = color
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_book() -> Callable[[Path, Sequence[Sequence[object]]], None]:
    """Return a function that writes a workbook with one sheet."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra `data` is not installed")

    def write(path: Path, rows: Sequence[Sequence[object]]) -> None:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)

    return write
