from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet.data import Record
from acsnet.errors import DataError
from acsnet.inference import Prediction, mask_path, probability_path
from acsnet.inference.saved_predictions import check_unique_names, result_name, save_prediction


@pytest.mark.parametrize(
    ("dataset", "image", "expected"),
    [
        ("busi", "benign/benign (1).png", "masks/busi/benign/benign (1).png"),
        ("busi", "case.JPG", "masks/busi/case.png"),
        ("busbra", "bus_0001-l", "masks/busbra/bus_0001-l.png"),
        ("mine", "1.2.840.10008", "masks/mine/1.2.840.10008.png"),
        ("mine", "1.2.840.10009.dcm", "masks/mine/1.2.840.10009.png"),
        ("mine", "scans/cine.dcm#12", "masks/mine/scans/cine_12.png"),
    ],
)
def test_paths_of_saved_masks(dataset: str, image: str, expected: str) -> None:
    assert mask_path(Path("test"), dataset, image) == Path("test") / expected
    other = Path("test") / expected.replace("masks", "probabilities", 1)
    assert probability_path(Path("test"), dataset, image) == other


@pytest.mark.parametrize("image", ["/data/images/a.png", "../../data/images/a.png", "data/../images/a.png"])
@pytest.mark.parametrize("dataset", ["one", "../one", "/one"])
def test_nothing_is_written_outside_the_folder(dataset: str, image: str, tmp_path: Path) -> None:
    """A table without names uses the paths of its images as names: they must not be overwritten."""
    path = mask_path(tmp_path, dataset, image)
    assert ".." not in path.parts
    assert path.is_relative_to(tmp_path / "masks" / "one")
    assert path.parts[-2:] == ("images", "a.png")


def test_a_result_has_the_name_of_its_image() -> None:
    assert result_name(Path("a/b.c.tiff")) == Path("a/b.c")
    assert result_name(Path("a/b.tif#0")) == Path("a/b_0")


def record(name: str, dataset: str = "busi") -> Record:
    return Record(Path(name), (), "benign", name, dataset=dataset)


def test_two_records_of_one_name_are_refused() -> None:
    check_unique_names([record("a.png"), record("b.png"), record("a.jpg", "other")])
    with pytest.raises(DataError, match=r"a\.png and a\.jpg of busi would both be saved as masks/busi/a\.png: rename"):
        check_unique_names([record("a.png"), record("b.png"), record("a.jpg")])


def test_saved_values(tmp_path: Path) -> None:
    probability = np.array([[0.0, 0.001], [0.5, 1.0], [0.299, 0.7]], np.float32)
    mask = np.array([[False, False], [True, True], [False, True]])
    prediction = Prediction(mask, probability, None, None)
    save_prediction(tmp_path, record("a/b.png"), prediction)
    read = [
        cv2.imread(str(path(tmp_path, "busi", "a/b.png")), cv2.IMREAD_UNCHANGED)
        for path in (mask_path, probability_path)
    ]
    assert read[0].tolist() == [[0, 0], [255, 255], [0, 255]]
    assert read[1].tolist() == [[0, 0], [128, 255], [76, 178]]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_nothing_is_saved_for_a_network_without_masks(tmp_path: Path) -> None:
    save_prediction(tmp_path, record("a.png"), Prediction(None, None, "benign", {"benign": 1.0}))
    assert not list(tmp_path.iterdir())
