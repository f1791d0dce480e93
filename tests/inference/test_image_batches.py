"""The images that a predictor takes: one gives one prediction, several give a list, a folder gives one per image."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import DataError, InputError
from acsnet.inference import Prediction, Predictor, find_images

RGB = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


class Brightness(torch.nn.Module):
    """A mask where the image is bright, and class logits of its mean; counts the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        self.batches.append(len(images))
        means = images.mean(dim=(1, 2, 3))
        return acsnet.MultiTaskOutput(images[:, :1], torch.stack([means, -means], dim=1))


@pytest.fixture
def predictor() -> Predictor:
    metadata = CheckpointMetadata(
        model="unet", arguments={}, class_names=("benign", "malignant"), input_size=(16, 16), mean=(0.5,), std=(0.25,)
    )
    return Predictor(Brightness(), metadata, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of them in a folder of its own, and a mask."""
    for number, name in enumerate(["a (2).png", "a (10).png", "sub/b.tif", "a (2)_mask.png"]):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(RGB, number, axis=1)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def same(one: Prediction, other: Prediction) -> bool:
    return one.probabilities == other.probabilities and np.array_equal(one.mask_probability, other.mask_probability)


def test_one_image_of_any_kind_gives_one_prediction(predictor: Predictor, folder: Path) -> None:
    path = folder / "a (2).png"
    expected = predictor(RGB)
    assert expected.path is None
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    for image in (str(path), path, Image.open(path), Image.fromarray(RGB), RGB / 255, tensor, tensor.float() / 255):
        prediction = predictor(image)
        assert same(prediction, expected)
        assert prediction.path == (path if isinstance(image, str | Path) else None)
        assert prediction.mask.shape == (30, 40)


def several(folder: Path) -> dict[str, Any]:
    arrays = [np.roll(RGB, number, axis=1) for number in range(3)]
    return {
        "list": arrays,
        "tuple of kinds": (arrays[0], Image.fromarray(arrays[1]), torch.from_numpy(arrays[2]).permute(2, 0, 1) / 255),
        "generator": (array for array in arrays),
        "array": np.stack(arrays),
        "tensor": torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2),
        "folder": folder,
        "name of folder": str(folder),
        "paths": [str(folder / "a (2).png"), folder / "a (10).png", folder / "sub" / "b.tif"],
    }


@pytest.mark.parametrize("kind", several(Path()))
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_several_images_give_a_list_in_their_order(
    predictor: Predictor, folder: Path, kind: str, batch_size: int
) -> None:
    predictions = predictor.predict(several(folder)[kind], batch_size)
    assert type(predictions) is list
    files = [folder / "a (2).png", folder / "a (10).png", folder / "sub" / "b.tif"]
    if "folder" in kind:
        files = [file for file, _ in find_images([folder])]
        assert len(files) == 3
    for prediction, file in zip(predictions, files, strict=True):
        assert same(prediction, predictor(file))
        assert prediction.path == (file if "folder" in kind or kind == "paths" else None)
    assert predictor.model.batches[:-3] == [batch_size] * (3 // batch_size) + [3 % batch_size] * (3 % batch_size > 0)
    each = predictor.predict_each(several(folder)[kind], batch_size)
    assert not isinstance(each, list)
    assert all(same(one, other) for one, other in zip(each, predictions, strict=True))


def test_an_iterator_is_read_batch_by_batch(predictor: Predictor) -> None:
    read: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number in range(100):
            read.append(number)
            yield RGB

    predictions = predictor.predict_each(images(), 3)
    assert read == []
    next(predictions)
    assert len(read) == 3


def refuses(call: Callable[[Any], Any], given: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call(given)
    assert str(caught.value) == message


def test_a_broken_image_is_found_before_the_first_is_predicted(predictor: Predictor, folder: Path) -> None:
    (folder / "z.png").write_bytes((folder / "a (2).png").read_bytes()[:200])
    batches = predictor.model.batches
    for images in (folder, [*folder.glob("*.png")] * 5):
        with pytest.raises(DataError, match=r"z\.png cannot be read as an image"):
            predictor.predict(images, 1)
    refuses(lambda images: predictor.predict(images, 2), [RGB, RGB, RGB, RGB * 2.0], InputError,
            "image 3 has values from 0 to 510: floating-point numbers have to be from 0 to 1, without the "
            "normalization of a network; divide values up to 255 by 255, clip what resizing overshot")  # fmt: skip
    assert batches == []


PUT = "put a single image into a list, or call the predictor with it"


def test_a_single_image_is_not_several(predictor: Predictor, folder: Path) -> None:
    path = folder / "a (2).png"
    tensor = torch.zeros(3, 30, 40)
    for images, found in (
        (RGB, "one array of shape (30, 40, 3), several are (N, H, W, C) with 1, 3 or 4 channels C"),
        (RGB[..., 0], "one array of shape (30, 40), several are (N, H, W, C) with 1, 3 or 4 channels C"),
        (np.zeros((4, 4, 7)), "one array of shape (4, 4, 7), several are (N, H, W, C) with 1, 3 or 4 channels C"),
        (tensor, "one tensor of shape (3, 30, 40), several are (N, C, H, W) with 1, 3 or 4 channels C"),
        (Image.fromarray(RGB), "one Pillow image"),
        (path, f"the file {path}"),
        (str(path), f"the file {path}"),
    ):
        for call in (predictor.predict, predictor.predict_each):
            refuses(call, images, InputError, f"the images are {found}: {PUT}")


def test_several_images_are_not_one(predictor: Predictor, folder: Path) -> None:
    for image, found in (
        (folder, f"the folder {folder}"),
        (str(folder), f"the folder {folder}"),
        ([RGB], "a list"),
        ((RGB, RGB), "a tuple"),
        (RGB[None], "a batch of shape (1, 30, 40, 3)"),
        (torch.zeros(2, 3, 8, 8), "a batch of shape (2, 3, 8, 8)"),
    ):
        message = f"the image is {found}: Predictor.predict takes several images, and returns a list"
        refuses(predictor, image, InputError, message)


@pytest.mark.parametrize("images", [None, 7, b"a.png", {"a": RGB}, {1, 2}])
def test_objects_that_are_no_images(predictor: Predictor, images: Any) -> None:
    message = f"the images are of type {type(images).__name__}: expected a folder or a list of images"
    for call in (predictor.predict, predictor.predict_each):
        refuses(call, images, InputError, message)


def test_folders_that_cannot_be_predicted(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    for name in ("none", "n" * 5000, "a\0b"):
        refuses(predictor.predict, tmp_path / name, DataError, f"there is no folder {tmp_path / name}")
        with pytest.raises(DataError, match=r"there is no image|cannot be read as an image"):
            predictor(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"^{tmp_path / 'empty'} has no images \(PNG, "):
        predictor.predict(tmp_path / "empty")
    with pytest.raises(DataError, match=r"images cannot be read as an image \(it is a directory\): check that it is a"):
        predictor.predict([RGB, folder])


@pytest.mark.parametrize("images", [[], (), np.zeros((0, 4, 5, 3), np.uint8), torch.zeros(0, 3, 4, 5), iter([])])
def test_no_images(predictor: Predictor, images: Any) -> None:
    refuses(predictor.predict, images, InputError, "there are no images: expected at least one")
    assert [*predictor.predict_each(images)] == []


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", True])
def test_batch_sizes_that_are_no_count(predictor: Predictor, batch_size: Any) -> None:
    message = f"batch_size is {batch_size!r}: expected a whole number of at least 1"
    for call in (predictor.predict, predictor.predict_each):
        refuses(lambda images, call=call: call(images, batch_size), [RGB], InputError, message)


@pytest.mark.parametrize("image", [None, 7, b"a.png"])
def test_other_inputs_are_refused(predictor: Predictor, image: Any) -> None:
    rest = "expected the path of a file, a Pillow image, a NumPy array or a PyTorch tensor"
    refuses(predictor, image, InputError, f"the image is of type {type(image).__name__}: {rest}")
    refuses(predictor.predict, [RGB, image], InputError, f"image 1 is of type {type(image).__name__}: {rest}")
