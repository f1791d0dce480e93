import numpy as np
import pytest
import torch
from torch import nn

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import InputError
from acsnet.inference import Predictor, frame_images, matching_autocast, prepare_for_inference, prepare_images

METADATA = CheckpointMetadata(
    model="unet", arguments={}, class_names=("benign", "malignant"), input_size=(32, 48), mean=(0.5,), std=(0.25,)
)


class Recorder(nn.Module):
    """Records its input."""

    seen: torch.Tensor

    def forward(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        self.seen = images
        return acsnet.MultiTaskOutput(None, None)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_prepared_as_for_predicting(channels: int) -> None:
    metadata = CheckpointMetadata(
        model="unet",
        arguments={"in_channels": channels},
        class_names=("benign", "malignant"),
        input_size=(32, 48),
        mean=(0.5,),
        std=(0.25,),
    )
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((50, 40), (32, 48), (20, 90))]
    network = Recorder()
    Predictor(network, metadata, device="cpu").predict(images)
    prepared = prepare_images(images, metadata, "cpu")
    assert prepared.shape == (3, channels, 32, 48)
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(prepared, network.seen)
    if channels == 3:
        expected = (images[1].transpose(2, 0, 1) / 255 - 0.5) / 0.25
        np.testing.assert_allclose(prepared[1], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_prepared_network_runs_in_the_context_that_matches_it(dtype: torch.dtype) -> None:
    network = prepare_for_inference(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), dtype)
    with matching_autocast(network):
        assert torch.is_autocast_enabled("cpu") == (dtype != torch.float32)
        assert network[0](torch.zeros(1, 3, 8, 8)).dtype == dtype
    assert not torch.is_autocast_enabled("cpu")


GRAY = np.full((30, 40), 90, np.uint8)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((30, 40, 3), np.float32), "float32 of shape (30, 40, 3)"),
        (GRAY, "uint8 of shape (30, 40)"),
        (np.zeros((3, 30, 40), np.uint8), "uint8 of shape (3, 30, 40)"),
        (np.zeros((0, 40, 3), np.uint8), "uint8 of shape (0, 40, 3)"),
        (torch.zeros(30, 40, 3, dtype=torch.uint8), "torch.uint8 of shape torch.Size([30, 40, 3])"),
        ([[1]], "list of shape None"),
    ],
)
def test_arrays_that_are_no_rgb_image_are_refused(image: object, found: str) -> None:
    with pytest.raises(InputError) as caught:
        frame_images([image], METADATA)  # type: ignore[list-item]
    assert str(caught.value) == (
        f"image 0 is {found}: expected a non-empty RGB array (H, W, 3) of uint8; acsnet.data.as_rgb converts images of "
        "other kinds"
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((30, 40, 3), np.uint8),
            "the images are one array of shape (30, 40, 3): put a single image into a list",
        ),
        (7, "the images are of type int: expected a list of RGB arrays (H, W, 3)"),
        ([], "there are no images: expected at least one RGB array (H, W, 3) of uint8"),
        ([np.ma.masked_equal(GRAY, 0)], "image 0 is a masked array: fill what is masked by image.filled(0)"),
    ],
)
def test_what_is_not_a_list_of_images(images: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        frame_images(images, METADATA)  # type: ignore[arg-type]
    assert str(caught.value) == message
