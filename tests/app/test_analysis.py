"""One image: the network runs once, and each threshold and operating point decides on what it predicted."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from acsnet.app.analysis import analyze, decide
from acsnet.app.networks import MOST_PROBABLE, Network
from acsnet.errors import DataError, UnknownNameError
from acsnet.inference import explain_images, lesion_shapes


def test_it_predicts_as_the_predictor_does(network: Network, image: Path) -> None:
    finding = decide(analyze(network, image), network.threshold(MOST_PROBABLE), MOST_PROBABLE)
    expected = network.predictor(image)
    assert expected.mask is not None
    assert finding.prediction.mask is not None
    assert np.array_equal(finding.prediction.mask, expected.mask)
    assert finding.prediction.label == expected.label
    assert finding.prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert finding.lesions == lesion_shapes(expected.mask)


def test_the_uncertainty_is_that_of_the_average_with_the_mirror_image(network: Network, image: Path) -> None:
    finding = decide(analyze(network, image), 0.5)
    expected = network.averaging(image)
    assert not network.predictor.supports_uncertainty
    assert len(network.averaging.tta_transforms) == 2
    assert np.allclose(finding.prediction.mask_uncertainty, expected.mask_uncertainty, atol=1e-6)
    assert finding.prediction.label_uncertainty == pytest.approx(expected.label_uncertainty, abs=1e-6)


def test_the_heat_map_is_that_of_the_most_probable_class(network: Network, image: Path) -> None:
    analysis = analyze(network, image)
    predictor = network.predictor
    (expected,) = explain_images(predictor.model, predictor.metadata, [analysis.read_pixels()])
    assert analysis.explained == predictor(image).label
    assert analysis.heat_map is not None
    assert analysis.probabilities.frame is not None
    assert np.allclose(analysis.probabilities.frame.to_image(analysis.heat_map), expected, atol=1e-5)


def test_thresholds_and_operating_points_run_no_network(network: Network, image: Path) -> None:
    runs = []
    handle = network.predictor.model.register_forward_hook(lambda *_: runs.append(1))
    try:
        analysis = analyze(network, image)
        count = len(runs)
        areas = []
        for threshold in (0.01, 0.3, 0.7, 0.99):
            mask = decide(analysis, threshold).prediction.mask
            assert mask is not None
            areas.append(mask.sum())
        decide(analysis, 0.5, "sensitivity_90")
    finally:
        handle.remove()
    assert count > 0
    assert len(runs) == count
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


@pytest.mark.parametrize(("choice", "is_malignant"), [("sensitivity_90", True), ("specificity_90", False)])
def test_an_operating_point_decides(network: Network, image: Path, choice: str, is_malignant: bool) -> None:
    finding = decide(analyze(network, image), 0.5, choice)
    assert (finding.prediction.label == "malignant") is is_malignant
    assert finding.malignant_threshold == (0.0 if is_malignant else 1.0)
    assert network.threshold(choice) == 0.4


def test_an_unknown_operating_point(network: Network, image: Path) -> None:
    analysis = analyze(network, image)
    with pytest.raises(UnknownNameError, match="unknown operating point 'sensitivity_9'"):
        decide(analysis, 0.5, "sensitivity_9")


def test_a_frame_of_a_cine_loop(network: Network, tmp_path: Path, write_cine: Callable[..., Path]) -> None:
    path = write_cine(tmp_path / "cine.dcm", frames=3, spacing=0.2)
    analysis = analyze(network, path, frame=2)
    assert (analysis.frame, analysis.frames, analysis.spacing) == (2, 3, (0.2, 0.2))
    assert not np.array_equal(analysis.read_pixels(), analyze(network, path).read_pixels())
    finding = decide(analysis, 0.01)
    assert finding.unit == "mm"
    assert finding.lesions[0].width <= 128 * 0.2
    with pytest.raises(DataError, match="there is no frame 3, the file holds 3, counted from 0"):
        analyze(network, path, frame=3)


def test_a_frame_of_a_video(network: Network, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "cine.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 64))
    for value in (10, 100, 200):
        writer.write(np.full((64, 80, 3), value, np.uint8))
    writer.release()
    analysis = analyze(network, tmp_path / "cine.avi", frame=1)
    assert (analysis.frames, analysis.title) == (3, "cine.avi, frame 1")
    assert abs(int(analysis.read_pixels()[0, 0, 0]) - 100) < 10


def test_a_frame_of_a_tiff_file(network: Network, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((64, 80), value, np.uint8)) for value in (10, 100)]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    analysis = analyze(network, tmp_path / "two.tif", frame=1)
    assert (analysis.frames, int(analysis.read_pixels()[0, 0, 0])) == (2, 100)


def test_an_image_that_was_removed(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(path)
    analysis = analyze(network, path)
    path.unlink()
    with pytest.raises(DataError, match="there is no image"):
        analysis.read_pixels()
