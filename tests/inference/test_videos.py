"""Videos and cine loops: each frame is predicted as an image is, and the overlays are a video of the same rate."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acsnet._utils import file_kinds
from acsnet._utils.files import WriteError
from acsnet.data import video
from acsnet.data.images import read_image
from acsnet.data.video import quiet_decoder
from acsnet.errors import DataError
from acsnet.inference import Predictor, find_images, predict_files
from acsnet.inference.formats import overlay_video

Invoke = Callable[..., tuple[int, str, str]]
Frames = npt.NDArray[np.uint8]


def record(path: Path, frames: Frames, rate: float = 12.5) -> Path:
    """Write gray frames (N, H, W) as a video; AVI files are nearly without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size)
    for frame in frames:
        writer.write(np.repeat(frame[:, :, None], 3, axis=2))
    writer.release()
    return path


def read_video(path: Path) -> tuple[float, list[Frames]]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return capture.get(cv2.CAP_PROP_FPS), frames


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def frames(draw: Any) -> Frames:
    """A lesion that grows by two columns per frame."""
    return np.stack([draw((8, 8, 16, 8 + 2 * number)) for number in range(5)])


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4", "CLIP0001"])
def test_frames_of_a_video_are_predicted_as_images_are(
    name: str, bright: Predictor, frames: Frames, tmp_path: Path
) -> None:
    suffix = Path(name).suffix or ".mp4"
    clip = record(tmp_path / "in" / f"clip{suffix}", frames).rename(tmp_path / "in" / name)
    assert [file.name for file, _ in find_images([tmp_path / "in"])] == [f"{name}#{number}" for number in range(5)]
    table = predict_files(bright, [clip], tmp_path / "out", batch_size=2, progress=False, spacing=(0.5, 0.5))
    rows = rows_of(table)
    assert [(Path(row["image"]).name, row["frame"], row["time_s"]) for row in rows] == [
        (f"{name}#{number}", str(number), str(number / 12.5)) for number in range(5)
    ]
    assert [float(row["lesion_width_mm"]) for row in rows] == pytest.approx([4, 5, 6, 7, 8], abs=1)
    assert [row["frame"] for row in rows_of(tmp_path / "out" / "lesions.csv")] == ["0", "1", "2", "3", "4"]

    stem = Path(name).stem
    image = read_image(tmp_path / "in" / f"{name}#3")
    Image.fromarray(image).save(tmp_path / "same.png")
    predict_files(bright, [tmp_path / "same.png"], tmp_path / "still", progress=False)
    for kind in ("masks", "overlays"):
        same = read_image(tmp_path / "still" / kind / "same.png")
        assert np.array_equal(same, read_image(tmp_path / "out" / kind / f"{stem}_3.png"))
    rate, pictures = read_video(tmp_path / "out" / "videos" / f"{stem}.mp4")
    assert (rate, len(pictures)) == (12.5, 5)
    assert pictures[0].shape == (68, 64, 3), "with the caption"
    for number, picture in enumerate(pictures):
        overlay = read_image(tmp_path / "out" / "overlays" / f"{stem}_{number}.png")
        assert np.abs(picture.astype(int) - overlay).mean() < 12, "the same picture, compressed"


def test_one_frame_of_a_video(bright: Predictor, frames: Frames, tmp_path: Path) -> None:
    clip = record(tmp_path / "clip.avi", frames)
    rows = rows_of(predict_files(bright, [tmp_path / "clip.avi#2"], tmp_path / "out", progress=False))
    assert [row["frame"] for row in rows] == ["2"]
    assert not (tmp_path / "out" / "videos").exists()
    assert float(rows[0]["lesion_width_px"]) == pytest.approx(12, abs=2)
    with pytest.raises(DataError, match=r"clip\.avi#5: there is no frame 5, the file holds 5, counted from 0"):
        predict_files(bright, [tmp_path / "clip.avi#5"], tmp_path / "other", progress=False)
    with pytest.raises(DataError, match=r"clip\.avi holds 5 frames: name one of them, from clip\.avi#0 to clip\.avi#4"):
        bright(clip)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 0, 2, 2, 1], [3, 4, 3]])
def test_frames_are_read_in_any_order(order: list[int], frames: Frames, tmp_path: Path) -> None:
    record(tmp_path / "clip.avi", frames)
    for number in order:
        image = read_image(tmp_path / f"clip.avi#{number}")
        assert np.abs(image[:, :, 0].astype(int) - frames[number]).mean() < 5


def test_frames_in_order_are_decoded_once(frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "clip.avi", frames)
    opened: list[Path] = []
    monkeypatch.setattr(video, "_open", lambda file, open_=video._open: opened.append(file) or open_(file))
    for number in range(5):
        read_image(tmp_path / f"clip.avi#{number}")
    assert len(opened) == 2, "to count the frames, and to read them"
    record(tmp_path / "clip.avi", frames[::-1])
    assert np.abs(read_image(tmp_path / "clip.avi#1")[:, :, 0].astype(int) - frames[3]).mean() < 5


def test_a_cine_loop_has_a_video_of_its_rate(
    bright: Predictor, frames: Frames, write_dicom: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom(tmp_path / "in" / "cine.dcm", frames[:, :, :63], FrameTime=40)
    write_dicom(tmp_path / "in" / "slow.dcm", frames, CineRate=4)
    write_dicom(tmp_path / "in" / "none.dcm", frames)
    rows = rows_of(predict_files(bright, [tmp_path / "in"], tmp_path / "out", progress=False))
    assert [row["time_s"] for row in rows] == [
        *("0.0", "0.04", "0.08", "0.12", "0.16"),
        *[""] * 5,
        *("0.0", "0.25", "0.5", "0.75", "1.0"),
    ]
    rates = {path.stem: read_video(path) for path in (tmp_path / "out" / "videos").iterdir()}
    assert {name: (rate, len(read)) for name, (rate, read) in rates.items()} == {
        "cine": (25, 5),
        "slow": (4, 5),
        "none": (10, 5),
    }
    assert rates["cine"][1][0].shape == (68, 64, 3), "an even number of columns"
    assert f"{tmp_path / 'in' / 'none.dcm'} declares no frame rate" in caplog.text


def test_frames_of_a_cine_loop_are_read_one_by_one(frames: Frames, write_dicom: Any, tmp_path: Path) -> None:
    from unittest.mock import patch

    cine = write_dicom(tmp_path / "cine.dcm", frames)
    with patch("acsnet.data.dicom._read", wraps=__import__("acsnet.data.dicom", fromlist=["_read"])._read) as read:
        assert np.array_equal(read_image(tmp_path / f"{cine.name}#3")[:, :, 0], frames[3])
    assert all(not call.kwargs.get("pixels", call.args[-1]) for call in read.call_args_list), "no call reads all pixels"


def test_the_decoder_is_quiet_until_the_last_thread_is_done() -> None:
    functions = video._log.functions
    before = functions.getLogLevel()
    with quiet_decoder():
        other = quiet_decoder()
        other.__enter__()
        assert functions.getLogLevel() == 0
    assert functions.getLogLevel() == 0, "the other one is not done"
    other.__exit__(None, None, None)
    assert functions.getLogLevel() == before > 0


def test_broken_videos_are_one_line(
    bright: Predictor, frames: Frames, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mp4, avi = record(tmp_path / "a.mp4", frames), record(tmp_path / "b.avi", np.repeat(frames, 10, axis=0))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cut.mp4").write_bytes(mp4.read_bytes()[:600])
    (folder / "half.avi").write_bytes(avi.read_bytes()[: avi.stat().st_size // 2])
    (folder / "start.avi").write_bytes(avi.read_bytes()[:1000])
    (folder / "text.mp4").write_text("no video")
    capfd.readouterr()
    with pytest.raises(DataError, match="the input cannot be used, 4 problems:") as error:
        predict_files(bright, [folder], tmp_path / "out", progress=False)
    lines = str(error.value).splitlines()[1:]
    assert all("cannot be read as a video (it is damaged, or" in lines[index] for index in (0, 3))
    assert "half.avi" in lines[1]
    assert "start.avi" in lines[2]
    assert all(line.endswith("convert it to another MP4 or AVI file") for line in lines)
    assert capfd.readouterr().err == "", "the decoder prints nothing"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (
            {cv2.CAP_PROP_FPS: 0.0},
            r"clip\.avi is a video with a frame rate of 0 per second: convert it to one of at most 1000",
        ),
        ({cv2.CAP_PROP_FPS: 90000.0}, r"a frame rate of 90000 per second: convert it"),
        ({cv2.CAP_PROP_FPS: float("nan")}, r"a frame rate of nan per second: convert it"),
        (
            {cv2.CAP_PROP_FRAME_COUNT: 100.0},
            r"cut short or damaged \(only 5 of its 100 frames are read\): copy it again",
        ),
        ({"grab": False, cv2.CAP_PROP_FRAME_COUNT: 0.0}, r"clip\.avi is a video without frames: copy it again"),
    ],
)
def test_what_a_video_may_declare(
    properties: dict[Any, Any], message: str, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Capture:
        def __init__(self, capture: Any) -> None:
            self.get = lambda key: properties.get(key, capture.get(key))
            self.grab = (lambda: False) if "grab" in properties else capture.grab
            self.release = capture.release

    record(tmp_path / "clip.avi", frames)
    monkeypatch.setattr(video, "_open", lambda file, open_=video._open: Capture(open_(file)))
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "clip.avi#0")


@pytest.mark.parametrize(
    ("start", "name", "expected"),
    [
        (b"\0\0\0\x18ftypisom", "a", True),
        (b"\0\0\0\x18ftypqt  ", "a", True),
        (b"RIFF\0\0\0\0AVI LIST", "a.dat", True),
        (b"no video", "a.MP4", True),
        (b"", "a.avi", True),
        (b"\0\0\0\x18ftypheic", "a.mp4", False),
        (b"\0\0\0\x18ftypheix", "a", False),
        (b"\0\0\0\x18ftypavif", "a", False),
        (b"\0\0\0\x18ftypM4A ", "a", False),
        (b"RIFF\0\0\0\0WAVE", "a", False),
        (b"\x89PNG\r\n\x1a\n", "a.mp4", False),
        (b"%PDF", "a.mov", False),
    ],
)
def test_files_are_videos_by_their_content(start: bytes, name: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(start)
    assert video.is_video(tmp_path / name) is expected


def test_more_frames_than_the_limit(frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "clip.avi", frames)
    monkeypatch.setattr(file_kinds, "MAX_PIXELS_OF_ALL_FRAMES", 4 * 48 * 64)
    message = (
        r"declares 5 frames of 64x48 = 15360 pixels; the limit is 12288 for all frames: divide it into shorter files"
    )
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "clip.avi#0")


def test_an_interruption_leaves_no_video(
    bright: Predictor, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = record(tmp_path / "clip.avi", frames)
    predict = bright.predict
    calls: list[int] = []

    def stop(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(bright, "predict", stop)
    with pytest.raises(KeyboardInterrupt):
        predict_files(bright, [clip], tmp_path / "out", batch_size=2, progress=False)
    assert not [*(tmp_path / "out" / "videos").iterdir()]
    assert len(rows_of(tmp_path / "out" / "predictions.unfinished.csv")) == 4


def test_a_video_that_was_not_written_completely(
    bright: Predictor, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = record(tmp_path / "clip.avi", frames)
    monkeypatch.setattr(overlay_video, "_CODEC", "none")
    with pytest.raises(
        WriteError, match=r"videos/clip\.mp4 could not be written \(OpenCV cannot encode 64x68 pixels at 12"
    ):
        predict_files(bright, [clip], tmp_path / "out", progress=False)
    monkeypatch.undo()

    def lose(path: Path, rate: float, size: tuple[int, int], frames: int) -> Any:
        return original(path, rate, size, frames + 1)

    original = overlay_video._video
    monkeypatch.setattr(overlay_video, "_video", lose)
    with pytest.raises(WriteError, match=r"videos/clip\.mp4 could not be written completely: is the disk full\?"):
        predict_files(bright, [clip], tmp_path / "out", progress=False)
    assert not [*(tmp_path / "out" / "videos").iterdir()]


def test_two_videos_of_one_name(bright: Predictor, frames: Frames, write_dicom: Any, tmp_path: Path) -> None:
    record(tmp_path / "in" / "a.avi", frames)
    record(tmp_path / "in" / "a.mp4", frames)
    with pytest.raises(DataError, match=r"a\.avi#0 and .*a\.mp4#0 would both be written as a_0\.png: predict them"):
        predict_files(bright, [tmp_path / "in"], tmp_path / "out", progress=False)


def test_videos_are_left_out_where_images_are_read(
    frames: Frames, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from acsnet.data.image_files import image_files

    record(tmp_path / "clip.mp4", frames)
    assert image_files(tmp_path) == []
    assert "files of formats that are not read (1): clip.mp4" in caplog.text
