import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet._utils.overlay import TRUTH_COLOR, draw_contours, draw_heat
from acsnet._utils.typing import Uint8Image
from acsnet.data.images import read_image, read_merged_mask, resize_image
from acsnet.inference import Predictor, explain_images
from acsnet.report import Network, read_networks
from acsnet.report.cases import SIDE, CasePicture, rank_cases
from acsnet.report.explanations import draw_explanations
from acsnet.report.images import NOT_FOUND, find_records


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


def test_shared_trainings_are_drawn_once(pair: list[Network]) -> None:
    records, _ = find_records(pair)
    first, second = draw_explanations(pair, records)
    assert first.rows
    assert (second.rows, second.problem) == ((), f"The trainings of {pair[0].name}; see its pictures above.")


def test_missing_inputs_are_reported(pair: list[Network], tmp_path: Path) -> None:
    records, _ = find_records(pair)
    assert draw_explanations(pair[:1], {})[0].problem == NOT_FOUND
    moved = tuple(replace(training, folder=tmp_path / "gone") for training in pair[0].trainings)
    problem = draw_explanations([replace(pair[0], trainings=moved)], records)[0].problem
    assert problem.startswith("The pictures are missing: there is no checkpoint")
    lacking = {image: record for image, record in records.items() if image != _first(pair[0])}
    assert draw_explanations(pair[:1], lacking)[0].rows[0].cases[0].problem == "the image was not found"


def _first(network: Network) -> tuple[str, str]:
    return network.result.images[rank_cases(network)[0][0]]
