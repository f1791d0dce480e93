"""Formats of ``acsnet predict --save``: each is read again, and decodes to the mask."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet import create_model
from acsnet.errors import DataError, InputError, UnknownNameError
from acsnet.inference import Predictor, predict_files
from acsnet.inference.formats import FORMATS, find_formats
from acsnet.inference.formats.outlines import Polygon, trace_outline
from acsnet.inference.lesion_shape import find_lesions
from acsnet.version import __version__

Invoke = Callable[..., tuple[int, str, str]]
Mask = npt.NDArray[np.bool_]

RING = np.ones((7, 9), np.bool_)
RING[2:4, 3:6] = False
PINCHED = np.array([[1, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], np.bool_)
STAIRS = np.eye(5, dtype=np.bool_)
TWO_HOLES = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], np.bool_)
NOISE = np.random.default_rng(0).random((30, 40)) > 0.5
SHAPES = {"pixel": np.ones((1, 1), np.bool_), "ring": RING, "pinched": PINCHED, "stairs": STAIRS, "holes": TWO_HOLES}
SHAPES |= {"noise": NOISE, "empty": np.zeros((3, 4), np.bool_), "full": np.ones((3, 4), np.bool_)}


def fill(polygons: list[Polygon], shape: tuple[int, ...]) -> Mask:
    """The pixels whose centers are in the polygons, by the even-odd rule along each row."""
    inside = np.zeros((shape[0], shape[1] + 1), np.int64)
    for ring in (ring for polygon in polygons for ring in (polygon.exterior, *polygon.holes)):
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, 0), strict=True):
            if x0 == x1:
                inside[min(y0, y1) : max(y0, y1), x0] += 1
    return np.cumsum(inside, axis=1)[:, :-1] % 2 == 1


@pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES)
def test_outlines_enclose_exactly_the_pixels(mask: Mask) -> None:
    for lesion in find_lesions(mask):
        own = np.zeros(mask.shape, np.bool_)
        height, width = lesion.mask.shape
        own[lesion.top : lesion.top + height, lesion.left : lesion.left + width] = lesion.mask
        polygons = trace_outline(lesion)
        assert np.array_equal(fill(polygons, mask.shape), own)
        rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.holes)]
        for ring in rings:
            assert len({*map(tuple, ring.tolist())}) == len(ring), "a line that touches itself is not valid GeoJSON"
        areas = [cv2.contourArea(ring.astype(np.float32), oriented=True) for ring in rings]
        assert sum(areas) == lesion.mask.sum()


def test_holes_and_corners_of_known_shapes() -> None:
    (ring,) = trace_outline(find_lesions(RING)[0])
    assert ring.exterior.tolist() == [[0, 0], [9, 0], [9, 7], [0, 7]]
    assert sorted(ring.holes[0].tolist()) == [[3, 2], [3, 4], [6, 2], [6, 4]]
    assert len(trace_outline(find_lesions(STAIRS)[0])) == 5
    (holes,) = trace_outline(find_lesions(TWO_HOLES)[0])
    assert len(holes.holes) == 2


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A lesion with a hole, a rectangle and a speck."""
    pixels = np.full((48, 64), 40, np.uint8)
    pixels[5:25, 5:30], pixels[10:15, 10:20], pixels[30:36, 40:60], pixels[45, 3] = 255, 40, 255, 255
    (tmp_path / "in" / "benign").mkdir(parents=True)
    path = tmp_path / "in" / "benign" / "a.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def saved(bright: Predictor, image: Path, tmp_path: Path) -> Callable[..., Path]:
    """Predict the image, and an image without a lesion, into a folder with formats."""

    def save(*formats: str) -> Path:
        Image.fromarray(np.full((48, 64), 30, np.uint8)).save(image.parent / "b.png")
        predict_files(bright, [tmp_path / "in"], tmp_path / "out", progress=False, save=formats, spacing=(0.1, 0.2))
        return tmp_path / "out"

    return save


def read_mask(folder: Path, name: str = "a") -> Mask:
    return np.asarray(Image.open(folder / "masks" / "benign" / f"{name}.png")) > 0


def test_label_images(saved: Callable[..., Path]) -> None:
    folder = saved("labels")
    labels = np.asarray(Image.open(folder / "labels" / "benign" / "a.png"))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels > 0, read_mask(folder))
    assert np.bincount(labels.ravel()).tolist() == [48 * 64 - 571, 450, 120, 1], "the order of lesions.csv"
    assert not np.asarray(Image.open(folder / "labels" / "benign" / "b.png")).any()


def test_more_lesions_than_a_byte_has_values(bright: Predictor, tmp_path: Path) -> None:
    pixels = np.full((48, 64), 40, np.uint8)
    pixels[::2, ::2] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    predict_files(bright, [tmp_path / "a.png"], tmp_path / "out", progress=False, save=["labels"])
    labels = np.asarray(Image.open(tmp_path / "out" / "labels" / "a.png")).astype(int)
    assert sorted({*labels.ravel().tolist()}) == [*range(24 * 32 + 1)]


def decode(annotation: dict[str, Any], shape: tuple[int, int]) -> Mask:
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        assert segmentation["size"] == [*shape]
        values = np.repeat(np.arange(len(segmentation["counts"])) % 2 == 1, segmentation["counts"])
        return values.reshape(shape, order="F")
    return fill([Polygon(np.reshape(ring, (-1, 2)), []) for ring in segmentation], shape)


def test_coco(saved: Callable[..., Path]) -> None:
    folder = saved("coco")
    content = json.loads((folder / "coco.json").read_text())
    assert "for research, not for diagnosis" in content["info"]["description"]
    assert [category["name"] for category in content["categories"]] == ["lesion"]
    names = [(image["id"], image["file_name"], image["height"], image["width"]) for image in content["images"]]
    assert names == [(1, "benign/a.png", 48, 64), (2, "benign/b.png", 48, 64)]
    annotations = content["annotations"]
    assert [(one["id"], one["image_id"], one["area"]) for one in annotations] == [(1, 1, 450), (2, 1, 120), (3, 1, 1)]
    assert isinstance(annotations[0]["segmentation"], dict), "polygons of COCO have no holes"
    assert annotations[1]["bbox"] == [40, 30, 20, 6]
    assert annotations[1]["segmentation"] == [[40, 30, 60, 30, 60, 36, 40, 36]]
    masks = [decode(one, (48, 64)) for one in annotations]
    assert [int(mask.sum()) for mask in masks] == [450, 120, 1]
    assert np.array_equal(np.any(masks, axis=0), read_mask(folder))


def test_coco_for_its_own_library(saved: Callable[..., Path]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    folder = saved("coco")
    data = coco.COCO(str(folder / "coco.json"))
    masks = [data.annToMask(one) for one in data.loadAnns(data.getAnnIds(imgIds=[1]))]
    assert np.array_equal(np.any(masks, axis=0), read_mask(folder))


def test_geojson(saved: Callable[..., Path]) -> None:
    folder = saved("geojson")
    content = json.loads((folder / "geojson" / "benign" / "a.geojson").read_text())
    assert "x from the left edge" in content["coordinates"]
    assert "for research, not for diagnosis" in content["origin"]
    mask = np.zeros((48, 64), np.bool_)
    for feature in content["features"]:
        assert feature["geometry"]["type"] == "Polygon"
        exterior, *holes = [np.array(ring) for ring in feature["geometry"]["coordinates"]]
        assert all((ring[0] == ring[-1]).all() for ring in (exterior, *holes))
        mask |= fill([Polygon(exterior[:-1], [hole[:-1] for hole in holes])], mask.shape)
    assert np.array_equal(mask, read_mask(folder))
    properties = content["features"][1]["properties"]
    assert (properties["lesion"], properties["width_mm"], properties["predicted"]) == (2, 4.0, "benign")
    assert json.loads((folder / "geojson" / "benign" / "b.geojson").read_text())["features"] == []


def test_tables_of_contours(saved: Callable[..., Path]) -> None:
    folder = saved("contours")
    rings: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    with (folder / "contours" / "benign" / "a.csv").open() as file:
        for row in csv.DictReader(file):
            rings.setdefault((row["lesion"], row["polygon"], row["ring"]), []).append((int(row["x"]), int(row["y"])))
    assert [*rings] == [("1", "1", "0"), ("1", "1", "1"), ("2", "1", "0"), ("3", "1", "0")]
    polygons = [Polygon(np.array(ring), []) for ring in rings.values()]
    assert np.array_equal(fill(polygons, (48, 64)), read_mask(folder))
    assert (folder / "contours" / "benign" / "b.csv").read_text() == "lesion,polygon,ring,x,y\n"


def test_dicom_segmentation(bright: Predictor, write_dicom: Any, draw: Any, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    cine = np.stack([draw(), draw((5, 5, 10, 20)), draw((5, 5, 10, 22), (30, 30, 4, 4))])
    source = write_dicom(tmp_path / "in" / "cine.dcm", cine, PixelSpacing=[0.1, 0.2])
    other = write_dicom(tmp_path / "in" / "still", draw((3, 4, 5, 6)), SeriesInstanceUID="1.2.826.0.1.3680043.8.498.9")
    predict_files(bright, [source, other], tmp_path / "out", progress=False, save=["dicom-seg"])
    names = ["cine_0", "cine_1", "cine_2", "still"]
    objects = [pydicom.dcmread(tmp_path / "out" / "dicom_seg" / f"{name}.dcm") for name in names]
    for number, (found, name) in enumerate(zip(objects, names, strict=True)):
        header = pydicom.dcmread(source if number < 3 else other, stop_before_pixels=True)
        assert (found.Modality, found.SegmentationType, found.Rows, found.Columns) == ("SEG", "BINARY", 48, 64)
        for key in ("StudyInstanceUID", "PatientID", "PatientName", "PatientSex", "StudyDate", "AccessionNumber"):
            assert found[key].value == header[key].value
        assert found.SeriesInstanceUID != header.SeriesInstanceUID
        (group,) = found.PerFrameFunctionalGroupsSequence
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        assert image.ReferencedSOPInstanceUID == header.SOPInstanceUID
        assert image.ReferencedSOPClassUID == header.SOPClassUID
        assert image.get("ReferencedFrameNumber") == (number + 1 if number < 3 else None)
        (instance,) = found.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert (instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID) == (
            header.SOPClassUID,
            header.SOPInstanceUID,
        )
        (segment,) = found.SegmentSequence
        assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("lesion", "AUTOMATIC")
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unet", f"acsnet {__version__}")
        assert "for research, not for diagnosis" in found.SeriesDescription
        mask = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png")) > 0
        assert np.array_equal(found.pixel_array > 0, mask)
    measures = objects[1].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [*measures.PixelSpacing] == [0.1, 0.2]
    series = [found.SeriesInstanceUID for found in objects]
    assert series[0] == series[1] == series[2] != series[3]
    assert len({found.SOPInstanceUID for found in objects}) == 4
    assert [found.InstanceNumber for found in objects] == [1, 2, 3, 1]


def test_dicom_files_that_leave_out_the_patient(bright: Predictor, write_dicom: Any, draw: Any, tmp_path: Path) -> None:
    import pydicom

    source = write_dicom(tmp_path / "a.dcm", draw((3, 4, 5, 6)))
    dataset = pydicom.dcmread(source)
    for name in ("PatientID", "PatientName", "PatientBirthDate", "StudyTime", "Modality"):
        del dataset[name]
    dataset.save_as(source)
    predict_files(bright, [source], tmp_path / "out", progress=False, save=["dicom-seg"])
    assert pydicom.dcmread(tmp_path / "out" / "dicom_seg" / "a.dcm").PatientID == ""


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_dicom_files_that_nothing_can_refer_to(
    missing: str, bright: Predictor, write_dicom: Any, draw: Any, tmp_path: Path
) -> None:
    source = write_dicom(tmp_path / "a.dcm", draw((3, 4, 5, 6)), **{missing: ""})
    with pytest.raises(
        DataError, match=rf"no DICOM Segmentation can be written: .*a\.dcm has no {missing}: take the fil"
    ):
        predict_files(bright, [source], tmp_path / "out", progress=False, save=["dicom-seg"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tag", "value"), [("PatientSex", "X"), ("SpecificCharacterSet", "ISO_IR 999"), ("PatientSex", "MF")]
)
def test_dicom_files_with_values_that_are_not_allowed(
    tag: str, value: str, bright: Predictor, write_dicom: Any, draw: Any, tmp_path: Path
) -> None:
    cine = write_dicom(tmp_path / "a.dcm", np.stack([draw((3, 4, 5, 6))] * 2), **{tag: value})
    message = (
        rf"no DICOM Segmentation can be written: .*a\.dcm has a value that objects cannot have \('{value}' is not a "
    )
    with pytest.raises(DataError, match=message) as error:
        predict_files(bright, [cine], tmp_path / "out", progress=False, save=["dicom-seg"])
    assert "\n" not in str(error.value), "one line for both frames"
    assert not (tmp_path / "out").exists()


def test_other_images_have_no_dicom_segmentation(bright: Predictor, image: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png is not a DICOM file: predict it without --save dicom-seg"):
        predict_files(bright, [image], tmp_path / "out", progress=False, save=["dicom-seg"])
    assert not (tmp_path / "out").exists()


def test_formats_without_masks_and_unknown_ones(bright: Predictor, image: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown format 'dicom': did you mean 'dicom-seg'\? known: coco, contou"
    ):
        find_formats(["dicom"])
    assert find_formats(["coco", "labels", "coco"]) == [FORMATS["coco"], FORMATS["labels"]]
    predictor = Predictor(create_model("unet", tasks=["classification"], width=4, depth=2), bright.metadata)
    with pytest.raises(
        InputError, match=r"does not predict masks, which all formats of --save are made of: leave it out"
    ):
        predict_files(predictor, [image], tmp_path / "out", progress=False, save=["coco"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["coco.json", "labels/a.png", "dicom_seg/mine.dcm", "geojson/x", "contours/y", "videos/z"]
)
def test_results_of_others_are_not_overwritten(name: str, bright: Predictor, image: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(
        DataError, match=r"and no predictions\.csv of an earlier prediction, so that its files may be yours"
    ):
        predict_files(bright, [image], tmp_path / "out", progress=False, save=["coco"])
    assert mine.read_text() == "mine"


def test_an_interruption_leaves_no_table(
    bright: Predictor, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FORMATS["geojson"], "add", fail)
    with pytest.raises(KeyboardInterrupt):
        predict_files(bright, [image], tmp_path / "out", progress=False, save=["coco", "geojson"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"masks", "overlays", "predictions.unfinished.csv"}


def test_the_option(invoke: Invoke, tmp_path: Path) -> None:
    status, output, _ = invoke("predict", "--help")
    assert status == 0
    assert all(name in output for name in FORMATS)
