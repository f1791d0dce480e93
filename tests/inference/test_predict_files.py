import csv
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from acsnet import create_model
from acsnet._utils.overlay import draw_heat
from acsnet.config import EvaluationConfig
from acsnet.data.images import read_image
from acsnet.errors import DataError, InputError
from acsnet.inference import Predictor, explain_images, find_images, predict_files
from acsnet.inference.preprocessing import frame_images


def page(value: int) -> Image.Image:
    return Image.fromarray(np.full((40, 48), value, np.uint8))


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """A DICOM file of three frames, dark to bright."""
    pytest.importorskip("pydicom", reason="the extra `data` is not installed")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset, dataset.file_meta = Dataset(), FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.SamplesPerPixel = 40, 48, 3, 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.PhotometricInterpretation = 7, 0, "MONOCHROME2"
    dataset.PixelData = b"".join(bytes([value]) * 40 * 48 for value in (10, 100, 200))
    path = tmp_path / "scans" / "cine.dcm"
    path.parent.mkdir()
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_cine_is_expanded_into_its_frames(cine: Path) -> None:
    page(5).save(cine.parent / "still.bmp")
    expected = [(cine.parent / f"cine.dcm#{frame}", Path(f"cine_{frame}")) for frame in range(3)]
    assert find_images([cine]) == expected
    assert find_images([cine.parent]) == [*expected, (cine.parent / "still.bmp", Path("still"))]
    assert find_images([cine.parent / "cine.dcm#1"]) == [expected[1]]


def test_a_frame_and_its_file_are_the_same_result(cine: Path) -> None:
    assert len(find_images([cine, cine.parent / "cine.dcm#1"])) == 3
    page(5).save(cine.parent / "cine_1.png")
    with pytest.raises(DataError, match=r"cine\.dcm#1 and .*cine_1\.png would both be written as cine_1\.png"):
        find_images([cine.parent])


def test_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*none\.dcm#3"):
        find_images([tmp_path / "none.dcm#3"])
    with pytest.raises(DataError, match=r"has no images \(PNG, JPEG, BMP, TIFF .* and DICOM\)"):
        find_images([tmp_path])


def test_frames_are_predicted_as_images_are(cine: Path, trained_run: Path, tmp_path: Path) -> None:
    """A frame of a DICOM file is predicted like the same pixels in a PNG."""
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    page(100).save(tmp_path / "same.png")
    table = predict_files(predictor, [cine, tmp_path / "same.png"], tmp_path / "out", progress=False)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == ["cine.dcm#0", "cine.dcm#1", "cine.dcm#2", "same.png"]
    assert {**rows[1], "image": "", "frame": ""} == {**rows[3], "image": ""}
    assert [row["frame"] for row in rows] == ["0", "1", "2", ""]
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "masks" / "cine_1.png"), read_image(tmp_path / "out" / "masks" / "same.png")
    )
    assert (tmp_path / "out" / "overlays" / "cine_2.png").exists()


def test_broken_inputs_are_listed_before_anything_is_written(cine: Path, trained_run: Path, tmp_path: Path) -> None:
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    (tmp_path / "a.dcm").write_text("no image")
    (tmp_path / "b.tif").write_text("no image")
    with pytest.raises(DataError, match="the input cannot be used, 3 problems:") as error:
        predict_files(
            predictor, [tmp_path / "a.dcm", tmp_path / "b.tif", cine.parent / "cine.dcm#3"], tmp_path / "out", 8, False
        )
    for name in ("a.dcm", "b.tif", "cine.dcm#3: there is no frame 3"):
        assert name in str(error.value)
    assert not (tmp_path / "out").exists()


def test_uncertainty_is_written(trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    image = phantom_root / "benign" / "benign (1).png"
    evaluation = EvaluationConfig(test_time_augmentation={"horizontal_flip": True})
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors", evaluation=evaluation)
    table = predict_files(predictor, [image], tmp_path / "out", progress=False, uncertainty=True)
    with table.open(newline="") as file:
        row = next(csv.DictReader(file))
    prediction = predictor(image)
    assert float(row["label_uncertainty"]) == pytest.approx(prediction.label_uncertainty)
    region = prediction.mask_uncertainty[prediction.mask] if prediction.mask.any() else prediction.mask_uncertainty
    assert float(row["mask_uncertainty"]) == pytest.approx(region.mean(), rel=1e-5)
    drawn = read_image(tmp_path / "out" / "uncertainty" / "benign (1).png")
    assert np.array_equal(drawn, draw_heat(read_image(image), prediction.mask_uncertainty))


def test_without_uncertainty_there_is_no_column_and_no_picture(
    trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    image = phantom_root / "benign" / "benign (1).png"
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    table = predict_files(predictor, [image], tmp_path / "out", progress=False)
    assert "uncertainty" not in table.read_text()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"masks", "overlays", "predictions.csv", "lesions.csv"}
    with pytest.raises(InputError, match=r"needs several predictions per image, .*: turn on test-time augmentation \("):
        predict_files(predictor, [image], tmp_path / "none", progress=False, uncertainty=True)
    assert not (tmp_path / "none").exists()


def test_explanations_are_of_the_class_that_was_predicted(
    trained_run: Path, phantom_root: Path, tmp_path: Path
) -> None:
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    image = phantom_root / "benign" / "benign (1).png"
    predict_files(predictor, [image], tmp_path, progress=False, explain=True)
    picture = read_image(image)
    predicted = predictor.metadata.class_names.index(str(predictor(image).label))
    expected = explain_images(predictor.model, predictor.metadata, [picture], predicted)[0]
    assert np.array_equal(read_image(tmp_path / "explanations" / "benign (1).png"), draw_heat(picture, expected))


def test_a_network_without_classes_explains_nothing(trained_run: Path, phantom_root: Path, tmp_path: Path) -> None:
    metadata = Predictor.from_checkpoint(trained_run / "best.safetensors").metadata
    network = create_model("unet", tasks=["segmentation"], width=4, depth=2)
    predictor = Predictor(network, metadata)
    with pytest.raises(
        InputError, match=r"does not predict classes, so there is no class to explain: leave out --explain"
    ):
        predict_files(predictor, [phantom_root / "benign"], tmp_path / "out", progress=False, explain=True)
    assert not (tmp_path / "out").exists()


def test_the_table_says_what_was_cropped(trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan = np.random.default_rng(0).integers(40, 200, (60, 80), dtype=np.uint8)
    (tmp_path / "scans").mkdir()
    pictures = {"a": np.pad(scan, ((15, 5), (0, 10))), "b": scan, "c": np.full((64, 64), 30, np.uint8)}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / "scans" / f"{name}.png")
    plain = Predictor.from_checkpoint(trained_run / "best.safetensors")
    metadata = plain.metadata.model_copy(update={"crop_margins": True})
    with caplog.at_level("INFO", logger="acsnet"):
        table = predict_files(Predictor(plain.model, metadata), [tmp_path / "scans"], tmp_path / "out", progress=False)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    columns = ("scan", "crop_top", "crop_left", "crop_height", "crop_width")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("cropped", "15", "0", "60", "80"),
        ("whole", "0", "0", "60", "80"),
        ("all margin", "0", "0", "64", "64"),
    ]
    assert "cropped 1 of 3 images to the scanned region" in caplog.messages
    assert any(message.endswith("c.png") and "all margin" in message for message in caplog.messages)
    mask = read_image(tmp_path / "out" / "masks" / "a.png")
    assert mask.shape[:2] == (80, 90)
    assert not mask[:15].any()
    assert not mask[75:].any()
    assert not mask[:, 80:].any()

    table = predict_files(plain, [tmp_path / "scans"], tmp_path / "plain", progress=False)
    assert "crop_top" not in table.read_text()
    assert "scan," not in table.read_text()


def test_a_frame_of_a_cine_is_cropped(cine: Path, trained_run: Path, tmp_path: Path) -> None:
    """Its frames are of one gray value: all margin, and left whole."""
    plain = Predictor.from_checkpoint(trained_run / "best.safetensors")
    metadata = plain.metadata.model_copy(update={"crop_margins": True, "keep_aspect": True})
    table = predict_files(Predictor(plain.model, metadata), [cine], tmp_path / "out", progress=False)
    with table.open() as file:
        assert [row["scan"] for row in csv.DictReader(file)] == ["all margin"] * 3


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", ".@__thumb", "@eaDir/a.png", "__MACOSX", "sub/.git"])
def test_hidden_folders_and_those_of_file_managers_are_skipped(hidden: str, tmp_path: Path) -> None:
    (tmp_path / hidden).mkdir(parents=True)
    page(5).save(tmp_path / hidden / "a.png")
    page(5).save(tmp_path / "b.png")
    assert [file.name for file, _ in find_images([tmp_path])] == ["b.png"]


def test_an_image_that_is_named_twice_is_predicted_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        page(5).save(tmp_path / f"{name}.png")
    inputs = [tmp_path, tmp_path / "b.png", tmp_path / "." / "a.png", tmp_path]
    assert [file.name for file, _ in find_images(inputs)] == ["a.png", "b.png"]


def save_page(path: Path, value: int = 5, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    page(value).save(path, format=kind)
    return path


def names(inputs: list[Path]) -> list[str]:
    return [name.as_posix() for _, name in find_images(inputs)]


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.681", "US.0001.IMA", "image.0001", "a.dicom"])
def test_dicom_files_of_any_name_are_found(name: str, cine: Path) -> None:
    cine.rename(cine.parent / name)
    stem = name.removesuffix(".dicom")
    assert names([cine.parent]) == names([cine.parent / name]) == [f"{stem}_{frame}" for frame in range(3)]
    [(file, result)] = find_images([cine.parent / f"{name}#2"])
    assert (file, result) == (cine.parent / f"{name}#2", Path(f"{stem}_2"))
    assert read_image(file)[0, 0, 0] == 200


@pytest.mark.parametrize("name", ["IM0001", "scan.jfif", "scan.0001", "scan.dat"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_images_of_any_name_are_found(kind: str, name: str, tmp_path: Path) -> None:
    save_page(tmp_path / name, kind=kind)
    assert names([tmp_path]) == [name]


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"BMI, age\n"), ("list.csv", b"image\n"), ("empty", b"")],
)
def test_files_that_are_no_images_are_counted_and_named(
    name: str, content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_page(tmp_path / "a.png")
    (tmp_path / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / name).write_bytes(content)
    assert names([tmp_path]) == ["a"]
    both = ", ".join(sorted([name, f"sub/{name}"]))
    assert caplog.messages == [f"left out of {tmp_path}, files that are no images (2): {both}"]


def test_many_names_are_cut_short(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_page(tmp_path / "a.png")
    for number in range(7):
        (tmp_path / f"{number}.txt").touch()
    find_images([tmp_path])
    assert caplog.messages == [
        f"left out of {tmp_path}, files that are no images (7): 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, ..."
    ]


def test_reports_and_indexes_among_dicom_files_are_named(cine: Path, caplog: pytest.LogCaptureFixture) -> None:
    import pydicom

    report = pydicom.dcmread(cine)
    del report.Rows, report.PixelData
    for name in ("DICOMDIR", "report.dcm"):
        report.save_as(cine.parent / name, enforce_file_format=True)
    assert len(names([cine.parent])) == 3
    assert caplog.messages == [f"left out of {cine.parent}, DICOM files without an image (2): DICOMDIR, report.dcm"]
    with pytest.raises(DataError, match=r"report\.dcm is a DICOM file without an image: leave it out"):
        find_images([cine.parent / "report.dcm"])


def test_more_frames_than_can_be_are_not_listed(cine: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(cine)
    dataset.NumberOfFrames = 2**31 - 1
    dataset.save_as(cine)
    assert names([cine]) == ["cine"]


def test_pipes_links_and_folders_do_not_hang(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_page(tmp_path / "a.png")
    save_page(tmp_path / "folder.png" / "b.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to("folder.png")
    assert names([tmp_path]) == ["a", "again/b"]
    assert sorted(caplog.messages) == [
        f"left out of {tmp_path}, entries that cannot be read (it is a link that leads to itself) (1): loop",
        f"left out of {tmp_path}, entries that cannot be read (it is a link to nowhere, which does not exist) (1): gone",  # noqa: E501
        f"left out of {tmp_path}, entries that cannot be read (it is a named pipe) (1): pipe",
        f"left out of {tmp_path}, links to folders that are read already (2): folder.png, up",
    ]


@pytest.mark.parametrize("kind", ["pipe", "nowhere", "loop"])
def test_an_input_that_is_no_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else "gone.png")
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image \(it is a .*\): check that it is a file"):
        find_images([path])


def test_a_folder_that_may_not_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save_page(tmp_path / "a.png")
    save_page(tmp_path / "secret" / "b.png")
    listed = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder.name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert names([tmp_path]) == ["a"]
    assert caplog.messages == [f"left out of {tmp_path}, folders that cannot be listed (Permission denied) (1): secret"]


@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_one_file_under_two_names_is_predicted_once(
    link: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = save_page(tmp_path / "set" / "a.png")
    other = tmp_path / "set" / "b.png"
    if link == "symbolic":
        other.symlink_to("a.png")
    elif link == "hard":
        os.link(image, other)
    else:
        (tmp_path / "other").symlink_to("set")
        other = tmp_path / "other" / "a.png"
    assert names([tmp_path / "set", other]) == ["a"]
    assert set(caplog.messages) == {f"left out {other}: it is the same file as {image}"}


def test_results_of_earlier_predictions_are_no_input(
    trained_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_page(tmp_path / "a.png")
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    for _ in range(2):
        predict_files(predictor, [tmp_path], tmp_path / "out", progress=False, overwrite=True)
        predict_files(predictor, [tmp_path], tmp_path, progress=False, overwrite=True)
    assert names([tmp_path]) == ["a"]
    for folder in ("masks", "out/masks", "out/overlays"):
        with pytest.raises(DataError, match=rf"{folder} holds results of an earlier prediction or test: name"):
            find_images([tmp_path / folder])
    assert any("folders with results of a prediction (4): masks, out/masks, out/o" in text for text in caplog.messages)


def test_saved_predictions_of_a_test_are_no_input(tmp_path: Path) -> None:
    save_page(tmp_path / "a.png")
    for name in ("metrics.json", "cases.csv"):
        (tmp_path / name).touch()
    for folder in ("masks", "probabilities"):
        save_page(tmp_path / folder / "busi" / "b.png")
    save_page(tmp_path / "sub" / "masks" / "mine.png")
    assert names([tmp_path]) == ["a", "sub/masks/mine"]


@pytest.mark.parametrize("folder", ["masks", "overlays", "uncertainty"])
def test_files_of_the_user_are_not_overwritten(folder: str, trained_run: Path, tmp_path: Path) -> None:
    image = save_page(tmp_path / "images" / "a.png")
    mine = save_page(tmp_path / folder / "a.png", 255)
    before = mine.read_bytes()
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    message = rf"has a folder {folder}/ and no predictions\.csv of an earlier prediction, .* name another output folder"
    with pytest.raises(DataError, match=message):
        predict_files(predictor, [image], tmp_path, progress=False)
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    "hidden", ["Thumbs.db", "desktop.ini", ".DS_Store", "._a.png", ".thumbnails/a.png", "#recycle/a.png"]
)
def test_files_of_operating_systems_are_not_named(
    hidden: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_page(tmp_path / hidden)
    save_page(tmp_path / "b.png")
    assert names([tmp_path]) == ["b"]
    assert not caplog.messages


@pytest.mark.parametrize(
    "name",
    [
        "a\udcff.png",
        "e\u0301.png",
        "\u00e9.png",
        "a\nb.png",
        "\u202e.png",
        "x" * 251 + ".png",
        "x" * 255,
        "\u00e9" * 127,
    ],
)
def test_names_of_every_kind(name: str, trained_run: Path, tmp_path: Path) -> None:
    save_page(tmp_path / "in" / name)
    predictor = Predictor.from_checkpoint(trained_run / "best.safetensors")
    table = predict_files(predictor, [tmp_path / "in"], tmp_path / "out", progress=False)
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [str(tmp_path / "in" / name)]
    [mask] = (tmp_path / "out" / "masks").iterdir()
    assert mask.name == name or (len(os.fsencode(name)) > 251 and mask.name[:100] == name[:100])


def test_long_names_stay_different(tmp_path: Path) -> None:
    for end in "ab":
        save_page(tmp_path / ("x" * 254 + end))
    assert len({*names([tmp_path])}) == 2


@pytest.mark.parametrize(("suffix", "kind"), [("gif", "GIF"), ("webp", "WEBP"), ("jp2", "JPEG2000"), ("ppm", "PPM")])
def test_images_of_other_formats_in_a_folder_are_not_called_something_else(
    suffix: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / f"b.{suffix}", format=kind)
    (tmp_path / "scan.nii.gz").write_bytes(b"\x1f\x8b\x08")
    assert [file.name for file, _ in find_images([tmp_path])] == ["a.png"]
    assert caplog.messages == [
        f"left out of {tmp_path}, files of formats that are not read (2): b.{suffix}, scan.nii.gz"
    ]


def test_a_name_that_is_too_long_is_not_called_a_failed_write(
    invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    name = f"{'a' * 300}.png"
    status, _, errors = invoke("predict", "--checkpoint", "acsnet_busi", name, "--out", tmp_path / "out")
    assert (status, errors) == (2, f"error: {name} cannot be used (File name too long): choose a shorter name\n")


@pytest.mark.parametrize("images", [None, 3, iter([])])
def test_arrays_that_are_no_list(images: Any) -> None:
    with pytest.raises(InputError, match=r"the images are of type .*: expected a list of RGB arrays \(H, W, 3\)"):
        frame_images(images, Mock())
