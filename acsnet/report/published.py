"""Figures that publications give for networks of the zoo, and which of them belong beside a run.

A figure belongs beside a run where the publication's method is the run's, as far as a configuration says it:

- model: ``model.name`` is the publication's network;
- tasks: ``model.tasks`` are those that the publication trained together;
- oversampling: ``data.oversample`` is what the publication did;
- refining: both directions of ``evaluation.refining``, or neither, as the publication did;
- the rest of ``evaluation`` is the default: no test-time augmentation, no post-processing, no other threshold.

Anything else, one direction of refining for example, has no published figures. Data, split, input size and training of
a run are its own: published figures are for orientation, and no test is made against them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from acsnet.config import EvaluationConfig
from acsnet.report.networks import Network
from acsnet.statistics import METRICS

_BOTH = frozenset({"segmentation", "classification"})


@dataclass(frozen=True)
class Publication:
    """Where figures are published.

    Attributes:
        key: short, for tables.
        citation: in full.
        setting: on what the figures were measured.
        columns: title of each figure, in the publication's order, by the name of the measure it is to be read beside:
            one of :data:`~acsnet.statistics.METRICS`, or :data:`PIXEL_F1`.
    """

    key: str
    citation: str
    setting: str
    columns: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class Published:
    """What a publication gives for one method.

    Attributes:
        publication: the publication.
        method: what it calls the method.
        figures: by the names of its columns; one that it does not give is not there.
    """

    publication: Publication
    method: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class _Method:
    """What a run has to be for a row of figures to belong beside it."""

    model: str
    tasks: frozenset[str]
    oversample: bool = False
    refining: bool = False


# The F1 of the pixels, which of one mask is its Dice.
PIXEL_F1 = "pixel_f1"

CHUNG = Publication(
    key="Chung 2024",
    citation=(
        'Chung et al. 2024, "Beyond Traditional Approaches: Multi-Task Network for Breast Ultrasound Diagnosis", '
        "arXiv:2401.07326"
    ),
    setting="BUSI, all 780 images with their copies, one random 80/20 split, 448x448",
    columns={
        "accuracy": "accuracy",
        "f1_macro": "class F1",
        "iou": "IoU",
        "dice": "Dice",
        PIXEL_F1: "segmentation F1",
        "overall_score": "overall",
    },
)
AUMENTE = Publication(
    key="Aumente-Maestro 2025",
    citation=(
        "Aumente-Maestro, Diez, Remeseiro 2025, Computer Methods and Programs in Biomedicine 260, 108540 "
        "(U-Net++, random weights)"
    ),
    setting="BUSI without the images that have copies (450), 4-fold cross-validation, 128x128",
    columns={
        "dice_benign": "Dice benign",
        "dice_malignant": "Dice malignant",
        "dice_normal": "Dice normal",
        "dice": "Dice average",
        "f1_benign": "F1 benign",
        "f1_malignant": "F1 malignant",
        "f1_normal": "F1 normal",
        "f1_weighted": "F1 weighted",
        "accuracy": "accuracy",
    },
)

_CHUNG_FIGURES = {
    "unet_resnet50": (0.682, 0.648, 0.682, 0.756, 0.756, 0.690),
    "unet_resnext50": (0.873, 0.663, 0.692, 0.758, 0.774, 0.702),
    "unet_wide_resnet50": (0.783, 0.630, 0.683, 0.763, 0.763, 0.683),
    "unet_efficientnet_b4": (0.904, 0.723, 0.749, 0.817, 0.817, 0.759),
    "unetpp_resnet50": (0.815, 0.637, 0.662, 0.746, 0.746, 0.678),
    "unetpp_resnext50": (0.822, 0.651, 0.760, 0.771, 0.838, 0.720),
    "unetpp_wide_resnet50": (0.790, 0.664, 0.680, 0.761, 0.761, 0.699),
    "unetpp_efficientnet_b4": (0.847, 0.650, 0.769, 0.795, 0.837, 0.725),
    "fpn_resnet50": (0.688, 0.627, 0.606, 0.601, 0.668, 0.626),
    "fpn_resnext50": (0.745, 0.652, 0.714, 0.752, 0.794, 0.703),
    "fpn_wide_resnet50": (0.758, 0.547, 0.710, 0.749, 0.790, 0.648),
    "fpn_efficientnet_b4": (0.796, 0.680, 0.741, 0.776, 0.817, 0.729),
    "deeplabv3plus_resnet50": (0.809, 0.676, 0.715, 0.769, 0.794, 0.718),
    "deeplabv3plus_resnext50": (0.726, 0.651, 0.745, 0.781, 0.823, 0.717),
    "deeplabv3plus_wide_resnet50": (0.809, 0.610, 0.722, 0.797, 0.797, 0.691),
    "deeplabv3plus_efficientnet_b4": (0.892, 0.694, 0.798, 0.813, 0.864, 0.760),
}

_SEGMENTATION, _CLASSIFICATION = frozenset({"segmentation"}), frozenset({"classification"})
# Its "ST both + PR + DO" joins two networks, each of one task, and is no single run.
_AUMENTE_FIGURES = {
    ("ST (seg)", _Method("unetpp", _SEGMENTATION)): (0.799, 0.731, 0.000, 0.661),
    ("ST (seg) + DO", _Method("unetpp", _SEGMENTATION, oversample=True)): (0.797, 0.730, 0.234, 0.692),
    ("ST (cls)", _Method("unetpp", _CLASSIFICATION)): (0.707, 0.673, 0.694, 0.693, 0.698),
    ("ST (cls) + DO", _Method("unetpp", _CLASSIFICATION, oversample=True)): (0.745, 0.717, 0.643, 0.720, 0.725),
    ("MT", _Method("unetpp", _BOTH)): (0.806, 0.713, 0.000, 0.658, 0.788, 0.687, 0.643, 0.730, 0.742),
    ("MT + PR", _Method("unetpp", _BOTH, refining=True)): (
        0.787, 0.707, 0.594, 0.731, 0.788, 0.687, 0.643, 0.730, 0.742,
    ),
    ("MT + DO", _Method("unetpp", _BOTH, oversample=True)): (
        0.773, 0.717, 0.703, 0.742, 0.830, 0.789, 0.721, 0.799, 0.802,
    ),
    ("MT + PR + DO", _Method("unetpp", _BOTH, oversample=True, refining=True)): (
        0.773, 0.711, 0.781, 0.751, 0.826, 0.791, 0.741, 0.801, 0.802,
    ),
}  # fmt: skip


def _table() -> Iterator[tuple[_Method, Published]]:
    for model, figures in _CHUNG_FIGURES.items():
        yield _Method(model, _BOTH), Published(CHUNG, model, dict(zip(CHUNG.columns, figures, strict=True)))
    columns = [*AUMENTE.columns]
    row: tuple[float, ...]
    for (name, method), row in _AUMENTE_FIGURES.items():
        # Rows of one task have the figures of that task alone: the first four columns, or the rest.
        own = columns[4:] if method.tasks == _CLASSIFICATION else columns[: len(row)]
        yield method, Published(AUMENTE, name, dict(zip(own, row, strict=True)))


_PUBLISHED = dict(_table())
_PLAIN = EvaluationConfig().model_dump(mode="json", exclude={"refining", "batch_size"})


def find_published(network: Network) -> Published | None:
    """The published figures that belong beside a network, or None; the module says by which rule."""
    config, refining = network.config, network.evaluation.get("refining") or {}
    directions = {bool(refining.get(key)) for key in ("empty_mask_for_normal", "normal_for_empty_mask")}
    has_options = any(network.evaluation.get(key, value) != value for key, value in _PLAIN.items())
    if config is None or len(directions) != 1 or has_options:
        return None
    method = _Method(config.model.name, frozenset(config.model.tasks), config.data.oversample, directions.pop())
    return _PUBLISHED.get(method)


def measured_beside(column: str) -> str:
    """The measure of ours that a published column is read beside."""
    return column if column in METRICS else "dice"
