"""Exported networks, quantized to 8 bits by onnxruntime: how well they agree with the network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import acsnet
from acsnet.checkpoints import CheckpointMetadata, save_checkpoint
from acsnet.data.images import read_image
from acsnet.export import export_checkpoint
from acsnet.inference import prepare_images
from acsnet.metrics import dice_score

pytestmark = pytest.mark.slow
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytest.importorskip("onnxscript", reason="needs onnxscript")
quantization = pytest.importorskip("onnxruntime.quantization", reason="needs onnxruntime.quantization")


#: A plain network, and one whose export has the operator DeformConv.
NETWORKS = {
    "unet": {"width": 8, "depth": 2},
    "acsnet": {"widths": (16, 16, 16, 16, 16)},
}


def metadata_of(network: str) -> CheckpointMetadata:
    return CheckpointMetadata(
        model=network,
        arguments=NETWORKS[network],
        class_names=("benign", "malignant", "normal"),
        input_size=(64, 64),
        mean=(0.33,) * 3,
        std=(0.204,) * 3,
    )


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(network: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("quantized") / f"{network}.safetensors"
    save_checkpoint(path, acsnet.create_model(network, **NETWORKS[network]).state_dict(), metadata_of(network))
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    return export_checkpoint(checkpoint, "onnx").path


@pytest.fixture(scope="module")
def prepared(network: str, phantom_root: Path) -> np.ndarray:
    """Images as the network gets them: (N, C, H, W), of all classes."""
    images = [read_image(file) for file in sorted(phantom_root.rglob("*.png"))[::3] if "mask" not in file.name]
    return prepare_images(images, metadata_of(network), "cpu").contiguous().numpy()


class Calibration(quantization.CalibrationDataReader):
    """The images, one by one."""

    def __init__(self, images: np.ndarray) -> None:
        self.images: Iterator[np.ndarray] = iter(images[:, None])

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.images, None)
        return None if image is None else {"images": image}


def quantize_dynamic(source: Path, target: Path, _: np.ndarray) -> None:
    quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QUInt8)


def quantize_static(source: Path, target: Path, images: np.ndarray) -> None:
    quantization.quantize_static(source, target, Calibration(images), per_channel=True)


@pytest.mark.parametrize("quantize", [quantize_dynamic, quantize_static])
def test_quantized_networks_agree(
    checkpoint: Path,
    exported: Path,
    tmp_path: Path,
    prepared: np.ndarray,
    quantize: Callable[[Path, Path, np.ndarray], None],
) -> None:
    small = tmp_path / "quantized.onnx"
    quantize(exported, small, prepared)
    session = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
    masks, classes = session.run(["mask", "classes"], {"images": prepared})
    with torch.inference_mode():
        expected = acsnet.load_model(checkpoint)(torch.from_numpy(prepared))
    probabilities = expected.mask.sigmoid().numpy()
    errors = np.abs(classes - expected.label.softmax(dim=1).numpy()).max(), np.abs(masks - probabilities).max()
    threshold = np.median(probabilities)
    pairs = zip(masks[:, 0] >= threshold, probabilities[:, 0] >= threshold, strict=True)
    dice = np.mean([dice_score(one, other) for one, other in pairs])
    # Measured: 1e-4 to 4e-3 for classes, 0.15 to 0.4 standard deviations for masks, Dice 0.96 to 0.985.
    assert small.stat().st_size < 0.5 * exported.stat().st_size
    assert errors[0] < 0.01
    assert errors[1] < 0.6 * probabilities.std()
    assert dice > 0.93
