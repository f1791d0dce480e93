"""Sizes of lesions in the tables of a prediction and in the API, and where the spacing comes from."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acsnet.data.spacing import parse_spacing
from acsnet.errors import DataError, InputError
from acsnet.inference import Prediction, Predictor, predict_files
from acsnet.inference.lesion_shape import find_lesions
from acsnet.inference.measurements import COLUMNS, lesion_rows

Draw = Callable[..., Any]
Invoke = Callable[..., tuple[int, str, str]]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(tmp_path: Path, draw: Draw) -> Path:
    """Two lesions, one lesion that is taller than wide on its grid only, and none."""
    folder = tmp_path / "images"
    folder.mkdir()
    pictures = {"a": draw((4, 6, 10, 20), (30, 50, 5, 4)), "b": draw((10, 10, 12, 16)), "c": draw()}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_the_tables_have_the_sizes_of_the_drawn_rectangles(bright: Predictor, images: Path, tmp_path: Path) -> None:
    table = predict_files(bright, [images], tmp_path / "out", progress=False, spacing=(0.2, 0.1))
    first, second, third = read(table)
    assert [row["lesions"] for row in (first, second, third)] == ["2", "1", "0"]
    expected = {"width_px": 20, "height_px": 10, "area_px": 200, "width_mm": 2, "height_mm": 2, "area_mm2": 4}
    expected |= {"long_axis_mm": math.hypot(2, 2), "long_axis_px": math.hypot(10, 20)}
    expected |= {"center_x_px": 16, "center_y_px": 9, "center_x_mm": 1.6, "center_y_mm": 1.8}
    assert {name: float(first[f"lesion_{name}"]) for name in expected} == pytest.approx(expected, abs=1e-6)
    assert float(first["lesion_perimeter_mm"]) == pytest.approx(8, rel=0.07)
    assert (first["spacing"], first["lesion_taller_than_wide"]) == ("0.2;0.1", "no")
    assert second["lesion_taller_than_wide"] == "yes", "12 x 0.2 mm is more than 16 x 0.1 mm"
    assert {third[f"lesion_{name}"] for name in COLUMNS[1:]} == {""}

    lesions = read(tmp_path / "out" / "lesions.csv")
    assert [(Path(row["image"]).name, row["lesion"]) for row in lesions] == [
        ("a.png", "1"),
        ("a.png", "2"),
        ("b.png", "1"),
    ]
    assert {name: first[f"lesion_{name}"] for name in COLUMNS[1:]} == {name: lesions[0][name] for name in COLUMNS[1:]}
    assert (float(lesions[1]["width_mm"]), float(lesions[1]["height_mm"])) == pytest.approx((0.4, 1.0))


def test_without_a_spacing_there_are_pixels_only(bright: Predictor, images: Path, tmp_path: Path) -> None:
    row = read(predict_files(bright, [images / "b.png"], tmp_path / "out", progress=False))[0]
    assert (row["lesion_width_px"], row["lesion_width_mm"], row["spacing"]) == ("16.0", "", "")
    assert row["lesion_taller_than_wide"] == "no"
    before = ["image", "predicted", "probability_benign", "probability_malignant", "probability_normal"]
    assert list(row)[:7] == [*before, "mask_area_fraction", "lesions"], "the columns of before stay the first ones"


def test_lengths_in_millimeters_are_not_scaled_ones() -> None:
    """A disk in millimeters on an anisotropic grid: an ellipse in pixels, whose perimeter has no scale."""
    down, right = 0.05, 0.2
    y, x = (np.arange(400) + 0.5) * down - 10, (np.arange(100) + 0.5) * right - 10
    mask = np.hypot(y[:, None], x[None]) <= 8
    (row,) = lesion_rows(Prediction(mask, None, None, None, spacing=(down, right)), find_lesions(mask))
    assert row["perimeter_mm"] == pytest.approx(2 * math.pi * 8, rel=0.02)
    assert row["area_mm2"] == pytest.approx(math.pi * 64, rel=0.01)
    assert (row["long_axis_mm"], row["short_axis_mm"]) == pytest.approx((16, 16), abs=0.3)
    assert row["circularity"] == pytest.approx(1, abs=0.03)
    assert row["long_axis_px"] == pytest.approx(320, abs=2)


def test_the_api_has_the_same_sizes(bright: Predictor, draw: Draw, write_dicom: Any, tmp_path: Path) -> None:
    pixels = draw((4, 6, 10, 20))
    (lesion,) = bright(pixels, spacing=(0.2, 0.1)).lesions
    assert (lesion.width, lesion.height, lesion.area) == pytest.approx((2, 2, 4))
    assert bright(pixels).lesions[0].width == 20
    file = write_dicom(tmp_path / "a.dcm", pixels, PixelSpacing=[0.3, 0.4])
    prediction, given = bright(file), bright(file, spacing=(1, 1))
    assert (prediction.spacing, given.spacing) == ((0.3, 0.4), (1, 1))
    assert prediction.lesions[0].width == pytest.approx(8)
    assert [one.spacing for one in bright.predict([file, pixels])] == [(0.3, 0.4), None]
    assert [one.spacing for one in bright.predict_each([file, pixels], spacing=(1, 1))] == [(1, 1), (1, 1)]
    assert Prediction(None, None, "benign", None).lesions == ()
    for call in (bright.__call__, lambda image, spacing: bright.predict([image], spacing=spacing)):
        with pytest.raises(InputError, match=r"the spacing is \(0\.1, 0\): expected two numbers above 0"):
            call(pixels, spacing=(0.1, 0))


def test_the_spacing_of_a_header(bright: Predictor, draw: Draw, write_dicom: Any, tmp_path: Path) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    region = Dataset()
    region.RegionSpatialFormat, region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = 1, 3, 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, -0.02  # centimeters
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 63, 47
    cine = np.stack([draw((4, 6, 10, 20)), draw((4, 6, 10, 30))])
    write_dicom(tmp_path / "in" / "cine.dcm", cine, SequenceOfUltrasoundRegions=Sequence([region]))
    write_dicom(tmp_path / "in" / "still.dcm", draw((4, 6, 10, 20)), PixelSpacing=[0.5, 0.25])
    rows = read(predict_files(bright, [tmp_path / "in"], tmp_path / "out", progress=False))
    assert [row["spacing"] for row in rows] == ["0.2;0.1", "0.2;0.1", "0.5;0.25"]
    assert [float(row["lesion_width_mm"]) for row in rows] == pytest.approx([2, 3, 5])


def test_a_table_comes_before_an_option_and_that_before_a_header(
    bright: Predictor, images: Path, draw: Draw, write_dicom: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cine = write_dicom(images / "d.dcm", np.stack([draw()] * 3), PixelSpacing=[0.5, 0.5], CineRate=5)
    table = tmp_path / "spacing.csv"
    table.write_text(
        "image,note,spacing\nimages/a.png,x,0.3;0.4\nimages/b.png,,\nimages/d.dcm,,0.6\nimages/d.dcm#1,,0.7\n"
    )
    rows = read(predict_files(bright, [images], tmp_path / "o", progress=False, spacing=(1, 2), spacing_table=table))
    assert [row["spacing"] for row in rows] == ["0.3;0.4", "1;2", "1;2", "0.6;0.6", "0.7;0.7", "0.6;0.6"]
    assert caplog.messages == [
        f"the table of spacings does not have 2 of 6 images, such as {images / 'b.png'}",
        f"{cine} declares 0.5 x 0.5 mm per pixel (vertical x horizontal); the given 0.6 x 0.6 is used",
    ]
    again = read(
        predict_files(bright, [images], tmp_path / "p", progress=False, spacing_table=tmp_path / "o" / "lesions.csv")
    )
    assert again[0]["spacing"] == "0.3;0.4", "the tables of a prediction are tables of spacings"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"there is no table .*spacing\.csv$"),
        ("image,mm\na.png,1\n", r"spacing\.csv has no column spacing: it has image, mm, and needs image, spacing$"),
        (
            "image,spacing\n",
            r"the table of spacings has none of the 1 images, such as .*b\.png: its paths are relative",
        ),
        ("image,spacing\nelsewhere.png,1\n", r"the table of spacings has none of the 1 images"),
        (
            "image,spacing\nimages/b.png,0\nimages/b.png,a\nimages/b.png,1;2;3\n,1\n",
            r"cannot be used, 4 problems:\n  spacing\.csv line 2: the spacing '0' is not millimeters per pixel: expect"
            r"ed one number above 0, or two as vertical;horizontal\n .*line 3.*\n .*line 4.*\n .*line 5: it names no i",
        ),
        (
            "image,spacing\nimages/b.png,1\n./images/b.png,2\n",
            r"line 3: \./images/b\.png has another spacing on an earl",
        ),
    ],
)
def test_tables_of_spacings_that_are_refused(
    content: str | None, message: str, bright: Predictor, images: Path, tmp_path: Path
) -> None:
    table = tmp_path / "spacing.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(DataError, match=message):
        predict_files(bright, [images / "b.png"], tmp_path / "out", progress=False, spacing_table=table)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "abc", "", "1,2,3", "1;2", "0.1,", "0,08,1"])
def test_spacings_that_are_refused(text: str, invoke: Invoke, tmp_path: Path) -> None:
    if text:
        with pytest.raises(
            InputError, match="is not millimeters per pixel: expected one number above 0, or two as vert"
        ):
            parse_spacing(text, ",")
    status, _, errors = invoke("predict", "--checkpoint", "none", "a.png", "--spacing", text, "--out", tmp_path / "out")
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: ")
    assert "--spacing" in errors
    assert "vertical,horizontal" in errors or not text


def test_a_file_of_the_user_is_not_overwritten(bright: Predictor, images: Path, tmp_path: Path) -> None:
    (tmp_path / "lesions.csv").write_text("mine")
    with pytest.raises(DataError, match=r"has a file lesions\.csv and no predictions\.csv of an earlier prediction"):
        predict_files(bright, [images], tmp_path, progress=False)
    assert (tmp_path / "lesions.csv").read_text() == "mine"


def test_a_network_without_masks_has_no_sizes(bright: Predictor, images: Path, tmp_path: Path) -> None:
    from acsnet import create_model

    predictor = Predictor(create_model("unet", tasks=["classification"], width=4, depth=2), bright.metadata)
    row = read(predict_files(predictor, [images], tmp_path / "out", progress=False))[0]
    assert "lesions" not in row
    assert not (tmp_path / "out" / "lesions.csv").exists()
