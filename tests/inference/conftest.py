"""A predictor whose masks are known: they are the bright pixels of the images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from acsnet.checkpoints import CheckpointMetadata
from acsnet.inference import Predictor
from acsnet.labels import CLASS_NAMES
from acsnet.models import MultiTaskOutput

#: (height, width) of the images whose masks are exact.
SIZE = (48, 64)


class BrightPixels(nn.Module):
    """A network whose mask is the pixels above half of the range, and whose class is benign."""

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        return MultiTaskOutput(100 * images[:, :1], torch.tensor([[2.0, 1.0, 0.0]]).repeat(len(images), 1))


@pytest.fixture(scope="session")
def bright() -> Predictor:
    metadata = CheckpointMetadata(
        model="unet", arguments={}, class_names=CLASS_NAMES, input_size=SIZE, mean=(0.5,), std=(0.25,)
    )
    return Predictor(BrightPixels(), metadata, device="cpu")


def scan(*boxes: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    """An image (48, 64) with white rectangles (top, left, height, width)."""
    image = np.full(SIZE, 40, np.uint8)
    for top, left, height, width in boxes:
        image[top : top + height, left : left + width] = 255
    return image


@pytest.fixture
def draw() -> Callable[..., npt.NDArray[np.uint8]]:
    return scan


@pytest.fixture
def write_dicom() -> Callable[..., Path]:
    """``write_dicom(path, pixels, **tags)`` writes an ultrasound image (H, W), or several (N, H, W)."""
    pytest.importorskip("pydicom", reason="the extra `data` is not installed")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

    def write(path: Path, pixels: npt.NDArray[np.uint8], **tags: Any) -> Path:
        several = pixels.ndim == 3
        dataset, dataset.file_meta = Dataset(), FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if several else UltrasoundImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
            "1.2.826.0.1.3680043.8.498.2",
            "1.2.826.0.1.3680043.8.498.3",
        )
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "P7", "Doe^Jane", "", "F"
        dataset.StudyID, dataset.AccessionNumber, dataset.StudyDate, dataset.StudyTime = "1", "", "20260102", "101112"
        dataset.ReferringPhysicianName, dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "", "US", 1, 1
        if several:
            dataset.NumberOfFrames = len(pixels)
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 8, 8, 7
        dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
        dataset.PixelData = pixels.tobytes()
        for name, value in tags.items():
            setattr(dataset, name, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write
