"""The figures and pictures of a report, section by section."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acsnet._utils.html import inline_plot
from acsnet._utils.plots import assign_colors
from acsnet.data import Record
from acsnet.report.cases import CASES, NetworkPictures, draw_cases
from acsnet.report.curves import Style, assign_styles, draw_rankings, draw_training, ranks_malignant, shared_trainings
from acsnet.report.explanations import draw_explanations
from acsnet.report.images import Image, lesion_shares
from acsnet.report.networks import Network
from acsnet.report.panels import draw_calibration, draw_confusion, draw_sizes, draw_violins


@dataclass(frozen=True)
class PlotView:
    """A figure of the page.

    Attributes:
        address: the drawing itself, or "" where there is nothing to draw.
        alt: what it shows, for who does not see it.
        caption: how to read it; without a drawing, why there is none.
        colors: of the classes, where the figure has them.
    """

    address: str
    alt: str
    caption: str
    colors: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PictureSection:
    """A section of pictures, network by network; ``wide`` where each is two side by side."""

    anchor: str
    title: str
    text: str
    networks: Sequence[NetworkPictures]
    wide: bool = False


def draw_figures(networks: Sequence[Network], records: Mapping[Image, Record]) -> dict[str, PlotView]:
    """Draw every figure, by its name in the template."""
    return {
        "training": _training(networks),
        "rankings": _rankings(networks),
        "calibration": _calibration(networks),
        "confusion": _confusion(networks),
        "sizes": _sizes(networks, records),
        "violins": _violins(networks),
    }


def picture_sections(networks: Sequence[Network], records: Mapping[Image, Record]) -> list[PictureSection]:
    """The sections of pictures, in the page's order."""
    cases = (
        f"Up to {CASES} cases at either end of each network. Green outline: the truth. Red outline: the prediction as "
        "it was kept, after threshold and all that follows it."
    )
    explanations = (
        "Left: what in the image spoke for the class that was predicted (Grad-CAM); bright is much. Right: where the "
        "mask is uncertain, by the entropy of its probability averaged over the image and its mirror image. A network "
        "of one task has one of the two. Green outline: the truth. Both are drawn by the network that had not seen the "
        "image, before any refining."
    )
    return [
        PictureSection("cases", "Best and worst cases", cases, [draw_cases(network, records) for network in networks]),
        PictureSection(
            "explanations", "Explanations and uncertainty", explanations, draw_explanations(networks, records), True
        ),
    ]


def _styles(networks: Sequence[Network]) -> dict[str, Style]:
    return assign_styles([network.name for network in networks])


def _nothing(reason: str) -> PlotView:
    return PlotView("", "", reason)


def _training(networks: Sequence[Network]) -> PlotView:
    shared = shared_trainings(networks)
    if not shared:
        return _nothing("No training is known: a run folder has a history.csv, a result folder elsewhere has none.")
    without = [network.name for network in networks if not any(training.history for training in network.trainings)]
    lacking = f" Nothing is known of the training of {', '.join(without)}." if without else ""
    return PlotView(
        inline_plot(draw_training(shared, _styles(networks))),
        "Curves of loss, Dice, accuracy and learning rate over the epochs, a line a network",
        "Thin: a fold. Strong: the mean of the folds, up to the shortest one. The validation subset is measured at the "
        f"network's input size. Networks of the same training have one curve.{lacking}",
    )


def _rankings(networks: Sequence[Network]) -> PlotView:
    ranking = [network for network in networks if ranks_malignant(network)]
    if not ranking:
        return _nothing("No network scores 'malignant' on images of which some, but not all, are malignant.")
    return PlotView(
        inline_plot(draw_rankings(ranking, _styles(networks))),
        "ROC curves and precision-recall curves of malignant against the rest, a line a network",
        "Malignant against the rest, folds pooled, so that images of different folds are ordered too. Gray: chance.",
    )


def _giving_classes(networks: Sequence[Network]) -> list[Network]:
    return [network for network in networks if network.result.probabilities is not None]


def _giving_masks(networks: Sequence[Network]) -> list[Network]:
    return [network for network in networks if "dice" in network.result.per_image]


def _calibration(networks: Sequence[Network]) -> PlotView:
    classifying = _giving_classes(networks)
    if not classifying:
        return _nothing("No network gives classes.")
    return PlotView(
        inline_plot(draw_calibration(classifying, _styles(networks))),
        "Reliability diagrams: accuracy against mean probability of the predicted class, a panel a network",
        "Of each bin of the predicted class's probability: how often it was right, and below how many images it has. "
        "Points above the gray line are right more often than they say. ECE: expected calibration error, 15 bins.",
    )


def _confusion(networks: Sequence[Network]) -> PlotView:
    classifying = _giving_classes(networks)
    if not classifying:
        return _nothing("No network gives classes.")
    return PlotView(
        inline_plot(draw_confusion(classifying)),
        "Confusion matrices: a row a true class, a column a predicted class, a panel a network",
        "Images, and their share of the true class.",
    )


def _sizes(networks: Sequence[Network], records: Mapping[Image, Record]) -> PlotView:
    segmenting = _giving_masks(networks)
    if not segmenting:
        return _nothing("No network gives masks.")
    shares = lesion_shares(records)
    if not any(shares.values()):
        return _nothing("The true masks are not where the configurations say they are (data.root or data.records).")
    present = [name for name in networks[0].result.class_names if name in networks[0].result.labels]
    # A class keeps its color whether or not it is in the figure.
    colors = assign_colors(networks[0].result.class_names)
    lesions = {
        name: colors[name]
        for name in present
        if any(shares.get(image, 0) > 0 for image, label in zip(
            networks[0].result.images, networks[0].result.labels, strict=True) if label == name)
    }  # fmt: skip
    known = sum(share > 0 for share in shares.values())
    return PlotView(
        inline_plot(draw_sizes(segmenting, shares, lesions)),
        "Scatter plots of Dice against the share of the image that is lesion, a panel a network",
        f"{known} images with a lesion. Line: running median of the neighbors in size.",
        lesions,
    )


def _violins(networks: Sequence[Network]) -> PlotView:
    segmenting = _giving_masks(networks)
    if not segmenting:
        return _nothing("No network gives masks.")
    return PlotView(
        inline_plot(draw_violins(segmenting, _styles(networks))),
        "Violin plots of the Dice of each image, a panel a class, a row a network",
        "Area: how the images are spread. Bar: the middle half of them. Ring: median. Tick: mean. A normal image has "
        "Dice 1 where nothing is predicted, else 0.",
    )
