"""The files to download, opened again."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.csv_io import read_csv
from acsnet.app.analysis import Finding, analyze, decide
from acsnet.app.exports import write_mask, write_overlay, write_page, write_table
from acsnet.app.networks import Network
from acsnet.app.pictures import draw_explanation, draw_outline, draw_uncertainty, shrink
from acsnet.app.tables import results_row, results_table, summary
from acsnet.app.texts import NOTICE
from acsnet.errors import InputError


@pytest.fixture(scope="module")
def finding(network: Network, image: Path) -> Finding:
    return decide(analyze(network, image), 0.45, "specificity_90")


def test_the_mask(finding: Finding, tmp_path: Path) -> None:
    path = write_mask(tmp_path, finding)
    assert path.name == "image_mask.png"
    with Image.open(path) as picture:
        assert picture.mode == "L"
        assert picture.info["Comment"] == NOTICE
        assert finding.prediction.mask is not None
        assert np.array_equal(np.asarray(picture), finding.prediction.mask * 255)


def test_the_overlay_has_the_notice_below_the_image(finding: Finding, tmp_path: Path) -> None:
    path = write_overlay(tmp_path, finding)
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
        assert picture.info["Comment"] == NOTICE
    assert path.name == "image_overlay.png"
    assert pixels.shape == (96 + 20 + 20, 128, 3)
    assert pixels[-20:].max() > 200
    assert (pixels[:96] != finding.analysis.read_pixels()).any()


def test_the_table(finding: Finding, tmp_path: Path) -> None:
    formula = replace(finding, analysis=replace(finding.analysis, name="=1+1.png"))
    path = write_table(tmp_path, [finding, formula])
    columns, rows = read_csv(path, "missing")
    first = rows[0][1]
    assert [row["image"] for _, row in rows] == ["image.png", "=1+1.png"]
    assert first["operating_point"] == "specificity_90"
    assert float(first["mask_threshold"]) == 0.45
    assert first["predicted"] == finding.prediction.label
    assert float(first["probability_malignant"]) == pytest.approx(finding.prediction.probabilities["malignant"])
    assert int(first["lesions"]) == len(finding.lesions)
    assert (first["spacing"], first["note"]) == ("", NOTICE)
    assert float(first["lesion_long_axis_px"]) == pytest.approx(finding.lesions[0].long_axis)
    with path.open(newline="", encoding="utf-8") as stream:
        assert [*csv.reader(stream)][2][0] == "'=1+1.png", "a spreadsheet would run it"
    assert columns[-1] == "note"
    with pytest.raises(InputError, match="there are no results yet: analyze an image first"):
        write_table(tmp_path, [])


def test_the_page_is_whole_and_asks_nobody(finding: Finding, tmp_path: Path) -> None:
    text = write_page(tmp_path, finding).read_text(encoding="utf-8")
    assert text.count(NOTICE) >= 2
    assert text.count('src="data:image/jpeg;base64,') == 4
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "specificity_90" in text
    assert "tiny/best.safetensors" in text
    assert str(finding.analysis.path.parent) not in text


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.png", "a&b.png", '"quoted".png'])
def test_names_of_files_are_text(finding: Finding, tmp_path: Path, name: str) -> None:
    named = replace(finding, analysis=replace(finding.analysis, name=name))
    page = write_page(tmp_path, named).read_text(encoding="utf-8")
    for text in (page, results_table([named])):
        assert "<img src=x" not in text
        assert name not in text


def test_lengths_are_in_millimeters_where_the_spacing_is_known(
    network: Network, tmp_path: Path, write_cine: Callable[..., Path]
) -> None:
    analysis = analyze(network, write_cine(tmp_path / "cine.dcm", spacing=0.2), frame=1)
    finding = decide(analysis, 0.01)
    assert "width (mm)" in summary(finding)
    assert "px" not in summary(finding)
    assert " mm</td>" in results_table([finding])
    row = results_row(finding)
    assert row["lesion_width_mm"] == pytest.approx(0.2 * row["lesion_width_px"])
    assert row["frame"] == 1
    paths = [write(tmp_path, finding) for write in (write_mask, write_overlay, write_page)]
    assert [path.name for path in paths] == ["cine_1_mask.png", "cine_1_overlay.png", "cine_1.html"]
    assert "0.200 x 0.200 mm per pixel" in paths[2].read_text(encoding="utf-8")


def test_an_empty_mask(finding: Finding, tmp_path: Path) -> None:
    empty = decide(finding.analysis, 1.0)
    assert empty.lesions == ()
    assert "No lesion at the mask threshold 1.00." in summary(empty)
    rows = read_csv(write_table(tmp_path, [empty]), "missing")[1]
    assert (rows[0][1]["lesions"], rows[0][1]["lesion_long_axis_px"]) == ("0", "")


def test_a_network_of_one_task(finding: Finding, tmp_path: Path) -> None:
    prediction = replace(finding.prediction, mask=None, mask_probability=None, mask_uncertainty=None)
    classes = replace(finding, prediction=prediction, lesions=())
    assert "This network predicts no masks." in summary(classes)
    assert draw_uncertainty(finding.analysis.read_pixels(), classes) is None
    with pytest.raises(InputError, match=r"tiny/best\.safetensors predicts no masks: choose another network"):
        write_mask(tmp_path, classes)
    masks = replace(
        finding,
        prediction=replace(finding.prediction, label=None, probabilities=None, label_uncertainty=None),
        analysis=replace(finding.analysis, heat_map=None, explained=None),
    )
    assert "This network predicts no classes." in summary(masks)
    assert draw_explanation(finding.analysis.read_pixels(), masks) is None
    assert 'src="data:image/jpeg;base64,' in write_page(tmp_path, masks).read_text(encoding="utf-8")
    assert len(read_csv(write_table(tmp_path, [masks]), "missing")[1]) == 1


def test_pictures_of_the_page(finding: Finding) -> None:
    pixels = finding.analysis.read_pixels()
    assert draw_outline(pixels, finding).shape == (96, 128, 3)
    assert draw_outline(pixels, finding, side=256).shape == (192, 256, 3)
    assert draw_outline(pixels, finding, side=64).shape == (96, 128, 3)
    assert shrink(pixels, 64).shape == (48, 64, 3)
    assert shrink(pixels, 400) is pixels
