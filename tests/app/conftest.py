"""A tiny network with operating points, an image, and a cine loop."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The oldest supported versions of other packages exclude Gradio.
if importlib.util.find_spec("gradio") is None:
    collect_ignore_glob = ["test_*.py"]

CLASSES = ("benign", "malignant", "normal")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a U-Net with random weights, and two operating points."""
    import torch

    import acsnet
    from acsnet.checkpoints import CheckpointMetadata, OperatingPoint, OperatingPoints, Rate, save_checkpoint

    torch.manual_seed(0)
    arguments = {"width": 4, "depth": 2}
    rate = Rate(value=0.9, low=0.8, high=0.95, n=40)
    points = {
        name: OperatingPoint(threshold=threshold, aim=aim, target=0.9, sensitivity=rate, specificity=rate)
        for name, threshold, aim in (("sensitivity_90", 0.0, "sensitivity"), ("specificity_90", 1.0, "specificity"))
    }
    metadata = CheckpointMetadata(
        model="unet",
        arguments=arguments,
        class_names=CLASSES,
        input_size=(32, 32),
        mean=(0.33,),
        std=(0.2,),
        operating_points=OperatingPoints(
            temperature=1.5,
            negative_log_likelihood=(0.7, 0.6),
            mask_threshold=0.4,
            classes=dict.fromkeys(CLASSES, 20),
            points=points,
            source="validation subset",
        ),
    )
    state = acsnet.create_model("unet", **arguments).state_dict()
    # Otherwise all mask probabilities are near one half.
    state["seg_head.weight"] *= 10
    path = tmp_path_factory.mktemp("checkpoints") / "tiny" / "best.safetensors"
    save_checkpoint(path, state, metadata)
    return path


@pytest.fixture(scope="session")
def network(tiny_checkpoint: Path) -> Any:
    """The tiny network, loaded for the page."""
    from acsnet.app import Networks

    networks = Networks(str(tiny_checkpoint), "cpu")
    return networks.load(networks.names[0])


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of 96x128 as PNG. Read-only."""
    from acsnet._utils.files import write_png
    from acsnet.phantom import make_phantom

    path = tmp_path_factory.mktemp("images") / "image.png"
    write_png(path, make_phantom("malignant", 0, (96, 128)).image)
    return path


@pytest.fixture(scope="session")
def write_cine() -> Callable[..., Path]:
    """``write_cine(path, frames=3)`` writes a DICOM file of 96x128; without pixels if ``frames`` is 0."""
    pydicom = pytest.importorskip("pydicom", reason="the extra `data` is not installed")
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(path: Path, frames: int = 3, spacing: float | None = 0.1) -> Path:
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if frames:
            dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 96, 128, frames
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
            noise = np.random.default_rng(0).integers(0, 256, (frames, 96, 128), dtype=np.uint8)
            dataset.PixelData = noise.tobytes()
        if spacing is not None:
            dataset.PixelSpacing = [spacing, spacing]
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write
