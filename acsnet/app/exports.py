"""The files to download: mask, overlay, table, and one page per image."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from acsnet._utils.files import whole_file, write_csv, write_text
from acsnet._utils.html import render, to_picture
from acsnet._utils.typing import Uint8Image
from acsnet.app.analysis import Finding
from acsnet.app.pictures import draw_explanation, draw_outline, draw_overlay, draw_uncertainty, shrink
from acsnet.app.tables import results_row, summary_values
from acsnet.app.texts import NOTICE
from acsnet.errors import InputError
from acsnet.inference.saved_predictions import result_name

_PAGE_SIDE = 640


def write_mask(folder: Path, finding: Finding) -> Path:
    """Write the mask as a gray PNG at the size of the image, values 0 and 255; the notice is in its metadata.

    Returns:
        The file.

    Raises:
        InputError: if the network has no masks.
        WriteError: if the file cannot be written.
    """
    mask = finding.prediction.mask
    if mask is None:
        raise InputError(f"{finding.analysis.network.name} predicts no masks: choose another network")
    return _write_png(_path(folder, finding, "_mask.png"), mask.astype(np.uint8) * np.uint8(255))


def write_overlay(folder: Path, finding: Finding) -> Path:
    """Write the image with the outline of the mask, its class and the notice as PNG, and return the file.

    Raises:
        DataError: if the image was removed since.
        WriteError: if the file cannot be written.
    """
    return _write_png(_path(folder, finding, "_overlay.png"), draw_overlay(finding.analysis.read_pixels(), finding))


def write_table(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write a table with one row per image as CSV, and return the file.

    Raises:
        InputError: if there are no images.
        WriteError: if the file cannot be written.
    """
    if not findings:
        raise InputError("there are no results yet: analyze an image first")
    path = folder / "results.csv"
    rows = [results_row(finding) for finding in findings]
    write_csv(path, rows)
    return path


def write_page(folder: Path, finding: Finding) -> Path:
    """Write all of one image as a page that needs no network, and prints on one sheet; return the file.

    Raises:
        DataError: if the image was removed since.
        WriteError: if the file cannot be written.
    """
    image = finding.analysis.read_pixels()
    drawn = [
        ("The image", image),
        (f"Outline of the mask (threshold {finding.threshold:.2f})", draw_outline(image, finding)),
        (f"Evidence for {finding.analysis.explained} (Grad-CAM)", draw_explanation(image, finding)),
        ("Uncertainty of the mask", draw_uncertainty(image, finding)),
    ]
    metadata = finding.analysis.network.predictor.metadata
    text = render(
        "app_image.html",
        title=finding.analysis.title,
        size=(image.shape[1], image.shape[0]),
        spacing=finding.analysis.spacing,
        network=finding.analysis.network.name,
        model=metadata.title,
        code_version=metadata.code_version,
        date=date.today().isoformat(),
        notice=NOTICE,
        pictures=[(title, to_picture(shrink(one, _PAGE_SIDE))) for title, one in drawn if one is not None],
        **summary_values(finding),
    )
    path = _path(folder, finding, ".html")
    write_text(path, text)
    return path


def _path(folder: Path, finding: Finding, ending: str) -> Path:
    frame = finding.analysis.frame if finding.analysis.frames > 1 else None
    return folder / f"{result_name(Path(finding.analysis.name), frame).name}{ending}"


def _write_png(path: Path, picture: Uint8Image) -> Path:
    information = PngInfo()
    information.add_text("Comment", NOTICE)
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=information)
    return path
