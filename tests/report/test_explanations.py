import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.download import file_sha256
from acsnet._utils.overlay import TRUTH_COLOR, draw_contours, draw_heat
from acsnet._utils.typing import Uint8Image
from acsnet.checkpoints import released_checkpoint
from acsnet.data.images import read_image, read_merged_mask, resize_image
from acsnet.errors import RunError
from acsnet.inference import Predictor, explain_images
from acsnet.report import Network, read_networks, tested_checkpoints
from acsnet.report.cases import SIDE, CasePicture, rank_cases
from acsnet.report.explanations import draw_explanations
from acsnet.report.images import NOT_FOUND, find_records
from acsnet.report.tested_checkpoints import find_checkpoints
from acsnet.report.training import Training

NetworkMaker = Callable[..., list[Network]]


@pytest.fixture
def pair(cross_validation: Path) -> list[Network]:
    """Two networks of the same trainings."""
    return read_networks([str(cross_validation)])[0]


def read_picture(case: CasePicture) -> Uint8Image:
    assert case.picture is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(case.picture.address.partition(",")[2]))))


def test_each_case_is_explained_by_the_network_that_was_tested_on_it(pair: list[Network]) -> None:
    network = pair[0]
    records, _ = find_records([network])
    drawn = draw_explanations([network], records)[0]
    assert [row.title for row in drawn.rows] == ["4 best", "4 worst"]
    place = rank_cases(network)[0][0]
    case, name = drawn.rows[0].cases[0], network.result.images[place]
    assert case.name == name[1]
    fold = next(index for index, run in enumerate(network.runs) if name in run.images)
    folder = network.trainings[fold].folder
    assert folder is not None
    predictor = Predictor.from_checkpoint(folder / "best.safetensors")
    image = read_image(records[name].image)
    truth = read_merged_mask(records[name].masks, image.shape[:2])
    activation = explain_images(predictor.model, predictor.metadata, [image])[0]
    expected = resize_image(draw_contours(draw_heat(image, activation), truth, TRUTH_COLOR), (SIDE, SIDE))
    picture = read_picture(case)
    assert picture.shape == (SIDE, 2 * SIDE + 6, 3), "the class's map and the mask's uncertainty"
    # The difference is the loss of JPEG.
    assert np.abs(picture[:, :SIDE].astype(float) - expected).mean() < 6
    assert np.abs(picture[:, :SIDE].astype(float) - picture[:, -SIDE:]).mean() > 6


def test_shared_checkpoints_are_drawn_once(pair: list[Network]) -> None:
    records, _ = find_records(pair)
    first, second = draw_explanations(pair, records)
    assert first.rows
    assert (second.rows, second.problem) == ((), f"The checkpoints of {pair[0].name}; see its pictures above.")


def test_missing_inputs_are_reported(pair: list[Network], tmp_path: Path) -> None:
    records, _ = find_records(pair)
    assert draw_explanations(pair[:1], {})[0].problem == NOT_FOUND
    moved = tuple(replace(training, folder=tmp_path / "gone") for training in pair[0].trainings)
    problem = draw_explanations([replace(pair[0], trainings=moved)], records)[0].problem
    assert problem.startswith("The pictures are missing: there is no checkpoint")
    lacking = {image: record for image, record in records.items() if image != _first(pair[0])}
    assert draw_explanations(pair[:1], lacking)[0].rows[0].cases[0].problem == "the image was not found"
    first = _first(pair[0])
    broken = records | {first: replace(records[first], masks=(tmp_path / "no mask.png",))}
    assert "no mask.png" in draw_explanations(pair[:1], broken)[0].rows[0].cases[0].problem


def _first(network: Network) -> tuple[str, str]:
    return network.result.images[rank_cases(network)[0][0]]


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({}, "the results do not say where their checkpoint best.safetensors is, which is not a released one: pass"),
        ({"checkpoint": "mine.safetensors", "checkpoint_sha256": "0" * 64}, "where their checkpoint mine.safetensors"),
        ({"labels": ["benign"]}, "Fewer than two images can be ranked"),
        ({"labels": ["normal"] * 4}, "Fewer than two images can be ranked"),
    ],
)
def test_the_true_reason_is_given(
    make_networks: NetworkMaker, trained_run: Path, about: dict[str, Any], reason: str
) -> None:
    networks = make_networks({"unet": about})
    if "labels" in about:
        networks = [replace(networks[0], trainings=(Training(trained_run),))]
    problem = draw_explanations(networks, {})[0].problem
    assert reason in problem
    assert NOT_FOUND not in problem


def test_the_checkpoint_of_a_test_is_found(
    make_networks: NetworkMaker, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = {"checkpoint": "a.safetensors", "checkpoint_sha256": released_checkpoint("acsnet_busi").sha256}
    (network,) = make_networks({"released": released})
    assert [own.released_name for own in find_checkpoints(network)] == ["acsnet_busi"]
    with monkeypatch.context() as patch:
        patch.setattr(tested_checkpoints, "released_on_disk", list)
        with pytest.raises(RunError, match=r"^the file of the released checkpoint acsnet_busi is not on this machine$"):
            find_checkpoints(network)

    (tmp_path / "own.safetensors").write_bytes((trained_run / "best.safetensors").read_bytes())
    own = {"checkpoint": "own.safetensors", "checkpoint_sha256": file_sha256(tmp_path / "own.safetensors")}
    for about, trainings in ((own, ()), ({**own, "checkpoint": "best.safetensors"}, (Training(trained_run),))):
        (network,) = make_networks({"own": about})
        run = replace(network.runs[0], folders=(tmp_path / "test",))
        network = replace(network, runs=(run,), trainings=trainings or network.trainings)
        (found,) = find_checkpoints(network)
        assert found.path.name == about["checkpoint"]
        changed = replace(run, provenance=({**about, "checkpoint_sha256": "0" * 64},))
        with pytest.raises(RunError, match=f"{about['checkpoint']} is not the checkpoint that was tested"):
            find_checkpoints(replace(network, runs=(changed,)))
