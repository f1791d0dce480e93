"""DICOM files written by pydicom; their gray values are computed by hand from PS3.3 C.7.6.3 and C.11."""

import io
import logging
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet._utils import dicom_checks, file_kinds
from acsnet.data import Record, verify_records
from acsnet.data.dicom import DicomFacts, is_dicom, read_dicom_facts
from acsnet.data.images import read_image, read_mask
from acsnet.errors import DataError

pydicom = pytest.importorskip("pydicom", reason="the extra `data` is not installed")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.pixels.decoders.base import Decoder  # noqa: E402
from pydicom.uid import (  # noqa: E402
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
ULTRASOUND_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"


def make(pixels: npt.NDArray[Any], photometric: str = "MONOCHROME2", **tags: Any) -> Dataset:
    """Make a dataset of an image (H, W) or (H, W, 3), or, with ``NumberOfFrames``, of frames (F, H, W[, 3])."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ULTRASOUND_MULTI_FRAME if "NumberOfFrames" in tags else ULTRASOUND_IMAGE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    gray = photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    shape = pixels.shape[1:] if "NumberOfFrames" in tags else pixels.shape
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 1 if gray else 3
    if not gray:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = dataset.BitsAllocated
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(path: Path, dataset: Dataset) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def region(top: int, left: int, bottom: int, right: int, **tags: Any) -> Dataset:
    """Make a two-dimensional region of tissue; rows and columns are inclusive."""
    one = Dataset()
    one.RegionSpatialFormat = 1
    one.RegionDataType = 1
    one.RegionLocationMinY0, one.RegionLocationMinX0 = top, left
    one.RegionLocationMaxY1, one.RegionLocationMaxX1 = bottom, right
    for name, value in tags.items():
        setattr(one, name, value)
    return one


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def gray_values(path: Path) -> list[int]:
    image = read_image(path)
    assert image.dtype == np.uint8
    assert (image == image[..., :1]).all()
    return image[0, :, 0].tolist()


def test_8_bit_gray_is_unchanged(tmp_path: Path) -> None:
    pixels = noise(6, 8)
    image = read_image(save(tmp_path / "a.dcm", make(pixels)))
    np.testing.assert_array_equal(image, np.dstack([pixels] * 3))
    image[0, 0] = 0  # it can be written to


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = noise(6, 8)
    image = read_image(save(tmp_path / "a.dcm", make(pixels, "MONOCHROME1")))
    np.testing.assert_array_equal(image[..., 0], 255 - pixels)


def test_rgb(tmp_path: Path) -> None:
    pixels = noise(6, 8, 3)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.dcm", make(pixels, "RGB"))), pixels)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    # Y, Cb, Cr of black, white, red and a gray, by PS3.3 C.7.6.3.1.2.
    pixels = np.array([[[0, 128, 128], [255, 128, 128], [76, 85, 255], [100, 128, 128]]], np.uint8)
    image = read_image(save(tmp_path / "a.dcm", make(pixels, "YBR_FULL")))
    expected = [[0, 0, 0], [255, 255, 255], [254, 0, 0], [100, 100, 100]]
    assert np.abs(image[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes(bits: int, tmp_path: Path) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    factor = 1 if bits == 8 else 256
    tags: dict[str, Any] = {}
    for color, values in {"Red": [0, 255, 10, 7], "Green": [0, 0, 20, 8], "Blue": [0, 0, 30, 9]}.items():
        tags[f"{color}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
        tags[f"{color}PaletteColorLookupTableData"] = (np.array(values) * factor).astype(kind).tobytes()
    dataset = make(np.array([[0, 1, 2, 3]], np.uint8), "PALETTE COLOR", **tags)
    image = read_image(save(tmp_path / "a.dcm", dataset))
    assert image[0].tolist() == [[0, 0, 0], [255, 0, 0], [10, 20, 30], [7, 8, 9]]


def test_color_of_16_bits(tmp_path: Path) -> None:
    pixels = np.array([[[0, 255, 256], [40000, 65535, 0]]], np.uint16)
    assert read_image(save(tmp_path / "a.dcm", make(pixels, "RGB"))).tolist() == [[[0, 0, 1], [156, 255, 0]]]
    pixels = np.array([[[0, 16, 4095]]], np.uint16)
    assert read_image(save(tmp_path / "b.dcm", make(pixels, "RGB", BitsStored=12))).tolist() == [[[0, 1, 255]]]


def test_the_declared_range_not_that_of_the_pixels(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 2048, 4095]], np.uint16)
    assert gray_values(save(tmp_path / "a.dcm", make(values, BitsStored=12))) == [0, 62, 128, 255]
    assert gray_values(save(tmp_path / "b.dcm", make(values, BitsStored=16))) == [0, 4, 8, 16]
    darker = values // 2
    assert gray_values(save(tmp_path / "c.dcm", make(darker, BitsStored=12))) == [0, 31, 64, 127]


def test_signed_pixels(tmp_path: Path) -> None:
    values = np.array([[-2048, 0, 2047]], np.int16)
    assert gray_values(save(tmp_path / "a.dcm", make(values, BitsStored=12))) == [0, 128, 255]


def test_windows(tmp_path: Path) -> None:
    values = np.array([[0, 150, 200, 250, 4095]], np.uint16)
    # By C.11.2.1.2.1: ((x - 199.5) / 100 + 0.5) of the range, cut at its ends.
    expected = [0, round(255 * 0.005), round(255 * 0.505), 255, 255]
    window = {"WindowCenter": 200, "WindowWidth": 101, "BitsStored": 12}
    assert gray_values(save(tmp_path / "a.dcm", make(values, **window))) == expected
    # The first of several windows is used.
    several = {**window, "WindowCenter": [200, 1], "WindowWidth": [101, 2]}
    assert gray_values(save(tmp_path / "b.dcm", make(values, **several))) == expected
    assert gray_values(save(tmp_path / "c.dcm", make(values, "MONOCHROME1", **window))) == [255 - v for v in expected]


def test_the_usual_window_of_8_bits_changes_nothing(tmp_path: Path) -> None:
    pixels = noise(16, 16)
    image = read_image(save(tmp_path / "a.dcm", make(pixels, WindowCenter=128, WindowWidth=256)))
    np.testing.assert_array_equal(image[..., 0], pixels)


def test_rescaling_goes_before_the_window(tmp_path: Path) -> None:
    values = np.array([[0, 100, 250]], np.uint8)
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -100}
    assert gray_values(save(tmp_path / "a.dcm", make(values, **rescaled))) == [0, 100, 250]
    # 100 becomes 100, the middle of a window from 50 to 150.
    window = {"WindowCenter": 100.5, "WindowWidth": 101}
    assert gray_values(save(tmp_path / "b.dcm", make(values, **rescaled, **window))) == [0, 128, 255]
    turned = {"RescaleSlope": -1, "RescaleIntercept": 255}
    assert gray_values(save(tmp_path / "c.dcm", make(values, **turned))) == [255, 155, 5]


def test_tables_of_values_of_interest(tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 0, 12])
    table.add_new("LUTData", "US", [0, 1024, 2048, 4095])
    dataset = make(np.array([[0, 1, 2, 3, 200]], np.uint8), VOILUTSequence=[table])
    assert gray_values(save(tmp_path / "a.dcm", dataset)) == [0, 64, 128, 255, 255]


def test_frames_by_index(tmp_path: Path) -> None:
    for photometric, pixels in (("MONOCHROME2", noise(3, 6, 8)), ("RGB", noise(3, 6, 8, 3))):
        path = save(tmp_path / "cine.dcm", make(pixels, photometric, NumberOfFrames=3))
        for index in range(3):
            expected = pixels[index] if photometric == "RGB" else np.dstack([pixels[index]] * 3)
            np.testing.assert_array_equal(read_image(tmp_path / f"cine.dcm#{index}"), expected)
        with pytest.raises(DataError, match=r"cine\.dcm holds 3 frames: name one of them, from cine\.dcm#0 to cine"):
            read_image(path)
        with pytest.raises(DataError, match=r"cine\.dcm#3: there is no frame 3, the file holds 3"):
            read_image(tmp_path / "cine.dcm#3")
        assert read_dicom_facts(path).frames == 3


def test_run_length_encoding(tmp_path: Path) -> None:
    pixels = noise(6, 8)
    dataset = make(pixels)
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.dcm", dataset))[..., 0], pixels)


@pytest.mark.parametrize(("photometric", "mode"), [("MONOCHROME2", "L"), ("YBR_FULL_422", "RGB")])
def test_jpeg_as_most_scanners_write_it(photometric: str, mode: str, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(0, 128, 2), np.arange(0, 128, 2)).astype(np.uint8)
    picture = Image.fromarray(smooth if mode == "L" else np.dstack([smooth, smooth // 2, 255 - smooth]))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    dataset = make(np.asarray(picture), photometric)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    image = read_image(save(tmp_path / "a.dcm", dataset))
    assert np.abs(image.astype(int) - np.asarray(picture.convert("RGB"))).mean() < 4


def test_pixels_outside_the_scan_are_black(tmp_path: Path) -> None:
    pixels = np.full((10, 12), 200, np.uint8)
    regions = [region(2, 1, 5, 4), region(4, 8, 9, 11), region(0, 0, 9, 11, RegionSpatialFormat=3)]
    image = read_image(save(tmp_path / "a.dcm", make(pixels, SequenceOfUltrasoundRegions=regions)))
    expected = np.zeros((10, 12), bool)
    expected[2:6, 1:5] = expected[4:10, 8:12] = True
    assert image.shape == (10, 12, 3)
    np.testing.assert_array_equal(image[..., 0] == 200, expected)
    np.testing.assert_array_equal(image[..., 0] == 0, ~expected)


def test_without_a_two_dimensional_region_nothing_is_blackened(tmp_path: Path) -> None:
    doppler = region(2, 1, 5, 4, RegionSpatialFormat=3)
    for number, regions in enumerate(([], [doppler])):
        dataset = make(np.full((10, 12), 200, np.uint8), SequenceOfUltrasoundRegions=regions)
        assert (read_image(save(tmp_path / f"{number}.dcm", dataset)) == 200).all()


CENTIMETERS = {"PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"PixelSpacing": [0.08, 0.07]}, (0.08, 0.07)),
        ({"PixelSpacing": [0, 0.07]}, None),
        ([{"PhysicalDeltaX": 0.007, "PhysicalDeltaY": 0.008, **CENTIMETERS}], (0.08, 0.07)),
        ([{"PhysicalDeltaX": 0.007, "PhysicalDeltaY": -0.008, **CENTIMETERS}], (0.08, 0.07)),
        ([{"PhysicalDeltaX": 0.007, "PhysicalDeltaY": 0.008}], None),
        ([{"PhysicalDeltaX": 0.0, "PhysicalDeltaY": 0.008, **CENTIMETERS}], None),
        ([{"PhysicalDeltaX": 4.0, "PhysicalDeltaY": 0.008, **CENTIMETERS, "PhysicalUnitsXDirection": 4}], None),
        ([{"PhysicalDeltaX": 0.007, "PhysicalDeltaY": 0.007, **CENTIMETERS}] * 2, (0.07, 0.07)),
        (
            [
                {"PhysicalDeltaX": 0.007, "PhysicalDeltaY": 0.007, **CENTIMETERS},
                {"PhysicalDeltaX": 0.009, "PhysicalDeltaY": 0.009, **CENTIMETERS},
            ],
            None,
        ),
    ],
)
def test_spacings(tags: Any, expected: tuple[float, float] | None, tmp_path: Path) -> None:
    if isinstance(tags, list):
        tags = {"SequenceOfUltrasoundRegions": [region(0, 0, 3, 3, **one) for one in tags]}
    spacing = read_dicom_facts(save(tmp_path / "a.dcm", make(noise(6, 8), **tags))).spacing
    assert spacing == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"FrameTime": 40}, 25),
        ({"FrameTimeVector": [0, 90, 110]}, 10),
        ({"FrameTimeVector": [50], "FrameTime": 40}, 20),
        ({"FrameTimeVector": [0], "CineRate": 15}, 15),
        ({"FrameTime": 0, "RecommendedDisplayFrameRate": 30}, 30),
        ({"FrameTime": 1e-6, "CineRate": 0}, None),
    ],
)
def test_frame_rates(tags: dict[str, Any], expected: float | None, tmp_path: Path) -> None:
    rate = read_dicom_facts(save(tmp_path / "a.dcm", make(noise(6, 8), **tags))).rate
    assert rate == (None if expected is None else pytest.approx(expected))


def test_facts_of_text_that_is_burned_in(tmp_path: Path) -> None:
    marked = save(tmp_path / "a.dcm", make(noise(6, 8), BurnedInAnnotation="YES"))
    assert read_dicom_facts(marked) == DicomFacts(frames=1, spacing=None, burned_in=True)
    declared = make(noise(6, 8), BurnedInAnnotation="YES", SequenceOfUltrasoundRegions=[region(0, 0, 3, 3)])
    assert not read_dicom_facts(save(tmp_path / "b.dcm", declared)).burned_in
    assert not read_dicom_facts(save(tmp_path / "c.dcm", make(noise(6, 8), BurnedInAnnotation="NO"))).burned_in


def test_verification_fills_in_the_spacing_and_names_burned_in_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tags = {"PixelSpacing": [0.08, 0.07], "BurnedInAnnotation": "YES"}
    first = Record(save(tmp_path / "a.dcm", make(noise(6, 8), **tags)), (), "normal", "a.dcm")
    second = Record(save(tmp_path / "b.dcm", make(noise(5, 8), **tags)), (), "normal", "b.dcm", spacing=(0.1, 0.1))
    with caplog.at_level(logging.WARNING, "acsnet"):
        verified = verify_records([first, second], progress=False)
    assert [record.spacing for record in verified] == [(0.08, 0.07), (0.1, 0.1)]
    assert caplog.messages == ["2 DICOM files with text burned into the image: a.dcm, b.dcm"]


def test_a_header_that_is_broken_is_a_problem_of_its_own(tmp_path: Path) -> None:
    dataset = make(noise(6, 8), PixelSpacing=[0.08, 0.07])
    path = save(tmp_path / "a.dcm", dataset)
    path.write_bytes(path.read_bytes().replace(b"0.08\\0.07", b"zero\\some"))
    assert read_image(path).shape == (6, 8, 3), "the pixels are sound"
    with pytest.raises(DataError, match=r"^the data cannot be used: .*a\.dcm cannot be read as a DICOM image"):
        verify_records([Record(path, (), "normal", "a.dcm")], progress=False)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.dcm", b"", True),
        ("A.DICOM", b"", True),
        ("a.dcm#3", b"", False),
        ("IM0001", b"\0" * 128 + b"DICM", True),
        ("IM0001", b"\0" * 132, False),
        ("IM0001", b"", False),
        ("a.png", b"\0" * 128 + b"DICM", True),
        ("1.2.840.113619.2.681", b"\0" * 128 + b"DICM", True),
        ("US.0001.IMA", b"\0" * 128 + b"DICM", True),
        ("a.dcm", b"\x89PNG\r\n\x1a\n" + b"\0" * 200, False),
    ],
)
def test_is_dicom(name: str, content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_dicom(tmp_path / name) is expected
    assert not is_dicom(tmp_path / "nowhere" / "IM0001")


@pytest.mark.parametrize(
    "name", ["IM0001", "1.2.840.113619.2.681", "US.0001.IMA", "image.001", "a.dicom", "a.png", "a.txt", "IM#1"]
)
def test_files_of_any_name_are_read(name: str, tmp_path: Path) -> None:
    pixels = noise(3, 6, 8)
    one, several = tmp_path / "one" / name, tmp_path / "several" / name
    one.parent.mkdir()
    several.parent.mkdir()
    save(one, make(pixels[0], PixelSpacing=["0.1", "0.2"]))
    save(several, make(pixels, NumberOfFrames=3))
    np.testing.assert_array_equal(read_image(one)[..., 0], pixels[0])
    np.testing.assert_array_equal(read_image(several.with_name(f"{name}#2"))[..., 0], pixels[2])
    [verified] = verify_records([Record(one, (), "normal", name=name)], progress=False)
    assert verified.spacing == (0.1, 0.2)


def test_a_png_with_the_suffix_of_dicom_is_read(tmp_path: Path) -> None:
    pixels = noise(6, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm")[..., 0], pixels)


def test_files_that_are_not_dicom(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no image .*none\.dcm"):
        read_image(tmp_path / "none.dcm#2")
    for content in (b"", b"not an image", b"\0" * 400):
        (tmp_path / "a.dcm").write_bytes(content)
        with pytest.raises(
            DataError,
            match=r"a\.dcm cannot be read as a DICOM image \(.+\): rename it if it is not DICOM, or copy it again",
        ):
            read_image(tmp_path / "a.dcm")


def test_dicom_without_an_image(tmp_path: Path) -> None:
    report = make(noise(6, 8))
    del report.PixelData
    with pytest.raises(DataError, match=r"a\.dcm is a DICOM file without integer pixels: leave it out"):
        read_image(save(tmp_path / "a.dcm", report))
    report.FloatPixelData = np.ones((6, 8), np.float32).tobytes()
    with pytest.raises(DataError, match=r"a\.dcm is a DICOM file without integer pixels: leave it out"):
        read_image(save(tmp_path / "a.dcm", report))
    del report.Rows, report.FloatPixelData
    for name in ("a.dcm", "DICOMDIR"):
        with pytest.raises(DataError, match=rf"{name} is a DICOM file without an image: leave it out"):
            read_image(save(tmp_path / name, report))


def test_truncated_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", make(noise(60, 80)))
    whole = path.read_bytes()
    for length in range(140, len(whole), 333):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.dcm (cannot be read as|is a) .*DICOM"):
            read_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_bytes_give_no_other_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", make(noise(6, 8), SequenceOfUltrasoundRegions=[region(0, 0, 3, 3, **CENTIMETERS)]))
    whole, random = path.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        broken = bytearray(whole)
        broken[random.integers(132, len(whole) - 48)] = random.integers(256)
        path.write_bytes(broken)
        for read in (read_image, read_dicom_facts):
            try:
                read(path)
                outcomes.add("read")
            except DataError:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    ("syntax", "packages"),
    [
        (JPEGLosslessSV1, "pylibjpeg pylibjpeg-libjpeg"),
        (JPEGLSLossless, "pylibjpeg pylibjpeg-libjpeg"),
        (JPEG2000Lossless, "pylibjpeg pylibjpeg-openjpeg"),
        (RLELossless, "pylibjpeg pylibjpeg-rle"),
    ],
)
def test_a_compression_without_an_installed_decoder(
    syntax: UID, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "is_available", False)
    path = save(tmp_path / "a.dcm", compressed(syntax, b"\xff\xd8\xff\xd9"))
    message = (
        rf"a\.dcm cannot be read as a DICOM image \(it is compressed as {re.escape(syntax.name)}\): pip install "
        rf"{packages}, or save it without compression$"
    )
    with pytest.raises(DataError, match=message):
        read_image(path)


def test_a_compression_that_pydicom_does_not_know(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", compressed(MPEG2MPML, b"video."))
    message = r"a\.dcm cannot be read as a DICOM image \(it is compressed as MPEG2 .*\): save it without compression$"
    with pytest.raises(DataError, match=message):
        read_image(path)


def compressed(syntax: UID, content: bytes) -> Dataset:
    dataset = make(noise(6, 8))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([content])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def test_a_damaged_compressed_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", compressed(JPEGBaseline8Bit, b"\xff\xd8\xff\xd9"))
    message = r"a\.dcm cannot be read as a DICOM image \(.+\): save it without compression, or copy it again"
    with pytest.raises(DataError, match=message):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_dicom_facts])
def test_an_image_that_is_too_large(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.dcm", make(noise(20, 24)))
    monkeypatch.setattr(file_kinds, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match=r"a\.dcm declares 24x20 = 480 pixels; the limit is 100: downscale it"):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_dicom_facts])
@pytest.mark.parametrize(
    ("frames", "syntax", "message"),
    [
        (
            2**31 - 1,
            ExplicitVRLittleEndian,
            r"declares 2147483647 frames of 8x6 = \d+ pixels; the limit is \d+ for all",
        ),
        (2**31 - 1, RLELossless, r"declares 2147483647 frames of 8x6 = \d+ pixels; the limit is \d+ for all frames"),
        (2**20, ExplicitVRLittleEndian, r"declares 1048576 frames of 8x6 pixels, which take 50331648 bytes or more"),
        (2**20, RLELossless, r"declares 1048576 frames of 8x6 pixels, which take 8388608 bytes or more, but has"),
        (2, ExplicitVRLittleEndian, r"declares 2 frames of 8x600 pixels, which take 9600 bytes or more, but has"),
    ],
)
def test_more_frames_than_the_file_can_hold(
    frames: int, syntax: UID, message: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    dataset = compressed(syntax, b"12345678") if syntax.is_compressed else make(noise(6, 8))
    dataset.NumberOfFrames = frames
    if frames == 2:
        dataset.Rows = 600
    with pytest.raises(DataError, match=message):
        read(save(tmp_path / "a.dcm", dataset))


def deflate(path: Path, content: bytes) -> None:
    """Replace the data set of a file by other bytes, deflated."""
    meta = io.BytesIO()
    dataset = make(noise(6, 8))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(meta, enforce_file_format=True)
    length = 144 + int.from_bytes(meta.getvalue()[140:144], "little")
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    path.write_bytes(meta.getvalue()[:length] + deflater.compress(content) + deflater.flush())


def test_deflated_files(tmp_path: Path) -> None:
    pixels = noise(6, 8)
    dataset = make(pixels)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.dcm", dataset))[..., 0], pixels)


@pytest.mark.parametrize("read", [read_image, read_dicom_facts])
def test_a_deflated_file_is_not_inflated_without_limit(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_checks, "_MAX_INFLATED_BYTES", 3_000_000)
    deflate(tmp_path / "a.dcm", bytes(4_000_000))
    assert (tmp_path / "a.dcm").stat().st_size < 10_000
    message = r"a\.dcm inflates to more than 3000000 bytes, the size of 50000000 pixels, which is the limit: save it"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.dcm")


def test_masks_are_not_read_from_dicom(tmp_path: Path) -> None:
    message = r"a\.dcm is a DICOM file, and masks are not read from DICOM: save it as PNG, BMP or TIFF"
    with pytest.raises(DataError, match=message):
        read_mask(save(tmp_path / "a.dcm", make(noise(6, 8))))


def test_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.dcm", make(noise(6, 8)))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    message = r"a\.dcm is a DICOM file, which needs pydicom: pip install 'acsnet\[data\]'"
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "a.dcm")
