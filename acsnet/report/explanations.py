"""Pictures of class-activation maps and of the uncertainty of masks, on cases of each network."""

from collections.abc import Mapping, Sequence

import numpy as np

from acsnet._utils.html import to_picture
from acsnet._utils.overlay import TRUTH_COLOR, draw_contours, draw_heat
from acsnet._utils.typing import Float32Array, Uint8Image
from acsnet.checkpoints import Checkpoint
from acsnet.config import EvaluationConfig, TestTimeAugmentationConfig
from acsnet.data import Record
from acsnet.data.images import read_image, read_merged_mask, resize_image
from acsnet.errors import AcsnetError, DataError
from acsnet.inference.grad_cam import explain_images
from acsnet.inference.predictor import Predictor
from acsnet.report.cases import SIDE, CasePicture, NetworkPictures, PictureRow, describe_case, rank_cases, why_none
from acsnet.report.images import ImageKey
from acsnet.report.tested_checkpoints import find_checkpoints
from acsnet.report.tested_networks import Network

# The number of best cases shown, and of worst ones; fewer than in cases.py, because the network has to be run.
CASES = 4
_MIRRORED = EvaluationConfig(test_time_augmentation=TestTimeAugmentationConfig(horizontal_flip=True))
_GAP_PIXELS = 6


def draw_explanations(networks: Sequence[Network], records: Mapping[ImageKey, Record]) -> list[NetworkPictures]:
    """Draw the class-activation map and the uncertainty of the mask for the best and worst cases of each network.

    Each image and its mirror image are predicted by the checkpoint that was tested on it; the uncertainty is the
    disagreement of the two predictions. Networks that share their checkpoints are drawn once.

    Args:
        networks: the networks; their checkpoints have to be in their run folders, next to the tests, or released.
        records: the records of the tested images that were found.
    """
    drawn: dict[tuple[Checkpoint, ...], str] = {}
    pictures = []
    for network in networks:
        try:
            checkpoints = find_checkpoints(network)
            first = drawn.setdefault(checkpoints, network.name)
            if first == network.name:
                pictures.append(_draw_network(network, checkpoints, records))
            else:
                reason = f"The checkpoints of {first}; see its pictures above."
                pictures.append(NetworkPictures(network.name, (), reason))
        except AcsnetError as error:
            pictures.append(NetworkPictures(network.name, (), f"The pictures are missing: {error}"))
    return pictures


def _draw_network(
    network: Network, checkpoints: Sequence[Checkpoint], records: Mapping[ImageKey, Record]
) -> NetworkPictures:
    best, worst = (indices[:CASES] for indices in rank_cases(network))
    problem = why_none(network, [*best, *worst], records)
    if problem:
        return NetworkPictures(network.name, (), problem)
    heats = _compute_heat_maps(network, checkpoints, [*best, *worst], records)
    rows = []
    for title, indices in (("best", best), ("worst", worst)):
        cases = [_draw_case(network, index, records, heats) for index in indices]
        rows.append(PictureRow(f"{len(cases)} {title}", cases))
    return NetworkPictures(network.name, rows, "")


def _compute_heat_maps(
    network: Network, checkpoints: Sequence[Checkpoint], indices: Sequence[int], records: Mapping[ImageKey, Record]
) -> dict[int, list[Float32Array]]:
    """Return the heat maps of each case at the size of its image, by its index in the pooled result."""
    heats: dict[int, list[Float32Array]] = {}
    for run, checkpoint in zip(network.runs, checkpoints, strict=True):
        tested = set(run.images)
        own = [index for index in indices if network.result.images[index] in tested & records.keys()]
        if not own:
            continue
        predictor = Predictor.from_checkpoint(checkpoint, evaluation=_MIRRORED)
        for index in own:
            image = read_image(records[network.result.images[index]].image)
            heats[index] = _compute_image_heat_maps(predictor, image)
    return heats


def _compute_image_heat_maps(predictor: Predictor, image: Uint8Image) -> list[Float32Array]:
    uncertainty = predictor(image).mask_uncertainty
    activation = (
        explain_images(predictor.model, predictor.metadata, [image])[0] if predictor.supports_classification else None
    )
    return [heat for heat in (activation, uncertainty) if heat is not None]


def _draw_case(
    network: Network,
    index: int,
    records: Mapping[ImageKey, Record],
    heats: Mapping[int, Sequence[Float32Array]],
) -> CasePicture:
    if index not in heats:
        return describe_case(network, index, None, "the image was not found")
    record = records[network.result.images[index]]
    image = read_image(record.image)
    try:
        truth = read_merged_mask(record.masks, image.shape[:2])
    except DataError as error:
        return describe_case(network, index, None, str(error))
    panels = [draw_contours(draw_heat(image, heat), truth, TRUTH_COLOR) for heat in heats[index]]
    return describe_case(network, index, to_picture(_side_by_side(panels)), "")


def _side_by_side(panels: Sequence[Uint8Image]) -> Uint8Image:
    height, width = panels[0].shape[:2]
    scale = SIDE / max(height, width)
    small = [resize_image(panel, (max(1, round(height * scale)), max(1, round(width * scale)))) for panel in panels]
    gap = np.full((small[0].shape[0], _GAP_PIXELS, 3), 255, np.uint8)
    strips = [strip for panel in small for strip in (gap, panel)][1:]
    return np.concatenate(strips, axis=1)
