"""Where the classifier looked and where the mask is uncertain, on cases of each network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acsnet._utils.html import to_picture
from acsnet._utils.overlay import TRUTH_COLOR, draw_contours, draw_heat
from acsnet.config import EvaluationConfig, TestTimeAugmentationConfig
from acsnet.data import Record
from acsnet.data.images import read_image, read_merged_mask, resize_image
from acsnet.errors import AcsnetError
from acsnet.inference.grad_cam import explain_images
from acsnet.inference.predictor import Predictor
from acsnet.report.cases import SIDE, CaseView, NetworkPictures, PictureRow, rank_cases, view_case
from acsnet.report.images import Image
from acsnet.report.networks import Network

# At either end of the ranking: a heat map takes the network, not only what it left.
CASES = 4
_MIRRORED = EvaluationConfig(test_time_augmentation=TestTimeAugmentationConfig(horizontal_flip=True))
_GAP = 6


def draw_explanations(networks: Sequence[Network], records: Mapping[Image, Record]) -> list[NetworkPictures]:
    """Draw the class-activation map and the mask's uncertainty of the best and the worst cases of each network.

    Each image is shown to the network that was tested on it, and its mirror image too: their disagreement is the
    uncertainty. Networks that share their trainings are drawn once.

    Args:
        networks: whose trainings left their checkpoints in their run folders.
        records: the records of the tested images, as far as they are known.
    """
    drawn: dict[tuple[Path | None, ...], str] = {}
    pictures = []
    for network in networks:
        folders = tuple(training.folder for training in network.trainings)
        first = drawn.setdefault(folders, network.name)
        if first == network.name:
            pictures.append(_draw_network(network, records))
        else:
            pictures.append(NetworkPictures(network.name, (), f"The trainings of {first}, whose pictures are above."))
    return pictures


def _draw_network(network: Network, records: Mapping[Image, Record]) -> NetworkPictures:
    best, worst = (places[:CASES] for places in rank_cases(network))
    try:
        heats = _heats(network, [*best, *worst], records)
    except AcsnetError as error:
        return NetworkPictures(network.name, (), f"There are no pictures: {error}")
    if not heats:
        return NetworkPictures(network.name, (), "The images are not where the configuration says they are.")
    rows = []
    for title, places in (("best", best), ("worst", worst)):
        cases = [_view(network, place, records, heats) for place in places]
        rows.append(PictureRow(f"{len(cases)} {title}", cases))
    return NetworkPictures(network.name, rows, "")


def _heats(
    network: Network, places: Sequence[int], records: Mapping[Image, Record]
) -> dict[int, list[npt.NDArray[np.float32]]]:
    """The heat maps of each case, at its image's size, by the case's place in the pooled result."""
    heats: dict[int, list[npt.NDArray[np.float32]]] = {}
    for run, training in zip(network.runs, network.trainings, strict=True):
        tested = set(run.images)
        own = [place for place in places if network.result.images[place] in tested & records.keys()]
        if not own or training.folder is None:
            continue
        predictor = Predictor.from_checkpoint(training.folder / "best.safetensors", evaluation=_MIRRORED)
        for place in own:
            image = read_image(records[network.result.images[place]].image)
            heats[place] = _heats_of_image(predictor, image)
    return heats


def _heats_of_image(predictor: Predictor, image: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    uncertainty = predictor(image).mask_uncertainty
    activation = (
        explain_images(predictor.model, predictor.metadata, [image])[0] if predictor.supports_classification else None
    )
    return [heat for heat in (activation, uncertainty) if heat is not None]


def _view(
    network: Network,
    place: int,
    records: Mapping[Image, Record],
    heats: Mapping[int, Sequence[npt.NDArray[np.float32]]],
) -> CaseView:
    if place not in heats:
        return view_case(network, place, None, "the image was not found")
    record = records[network.result.images[place]]
    image = read_image(record.image)
    truth = read_merged_mask(record.masks, image.shape[:2])
    panels = [draw_contours(draw_heat(image, heat), truth, TRUTH_COLOR) for heat in heats[place]]
    return view_case(network, place, to_picture(_side_by_side(panels)), "")


def _side_by_side(panels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    height, width = panels[0].shape[:2]
    scale = SIDE / max(height, width)
    small = [resize_image(panel, (max(1, round(height * scale)), max(1, round(width * scale)))) for panel in panels]
    gap = np.full((small[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for panel in small for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=1)
