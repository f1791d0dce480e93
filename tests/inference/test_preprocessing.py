import numpy as np
import pytest
import torch
from torch import nn

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.inference import Predictor, matching_autocast, prepare_for_inference, prepare_images


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
