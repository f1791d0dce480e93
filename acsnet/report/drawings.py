"""The plots and pictures of a report, with their captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acsnet._utils.html import inline_plot
from acsnet._utils.plots import assign_colors
from acsnet.data import Record
from acsnet.report.cases import CASES, NetworkPictures, draw_cases
from acsnet.report.context import ReportContext
from acsnet.report.curve_plots import (
    Style,
    assign_styles,
    draw_rankings,
    draw_training,
    ranks_malignant,
    shared_trainings,
)
from acsnet.report.explanations import draw_explanations
from acsnet.report.images import NOT_FOUND, ImageKey, lesion_fractions
from acsnet.report.panel_plots import draw_calibration, draw_confusion, draw_sizes, draw_violins
from acsnet.report.tested_networks import Network


@dataclass(frozen=True)
class CaptionedPlot:
    """A plot of the page with its caption.

    Attributes:
        address: the plot as a data URL, or "" if there is nothing to draw.
        alt: the alternative text.
        caption: how to read the plot, or why it is missing.
        colors: the colors of the classes, if the plot uses them.
    """

    address: str
    alt: str
    caption: str
    colors: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PictureSection:
    """A section of pictures per network; ``wide`` if each picture has two parts."""

    anchor: str
    title: str
    text: str
    networks: Sequence[NetworkPictures]
    wide: bool = False


def draw_plots(context: ReportContext) -> dict[str, CaptionedPlot]:
    """Draw the plots, by their names in the template."""
    networks = context.networks
    return {
        "training": _training(networks),
        "rankings": _rankings(networks),
        "calibration": _calibration(networks),
        "confusion": _confusion(networks),
        "sizes": _sizes(networks, context.records),
        "violins": _violins(networks),
    }


def draw_pictures(context: ReportContext) -> list[PictureSection]:
    """Draw the sections of pictures, in the order of the page."""
    networks, records = context.networks, context.records
    cases = (
        f"Up to {CASES} best and {CASES} worst cases of each network. Green outline: truth. Red outline: the saved "
        "prediction, after threshold and postprocessing."
    )
    explanations = (
        "Left: evidence in the image for the predicted class (Grad-CAM); brighter is stronger. Right: uncertainty of "
        "the mask, as the entropy of its probability averaged over the image and its mirror image. A network of one "
        "task has one of the two. Green outline: truth. Both are computed by the checkpoint that was tested on the "
        "image, before refinement."
    )
    return [
        PictureSection("cases", "Best and worst cases", cases, [draw_cases(network, records) for network in networks]),
        PictureSection(
            "explanations", "Explanations and uncertainty", explanations, draw_explanations(networks, records), True
        ),
    ]


def _styles(networks: Sequence[Network]) -> dict[str, Style]:
    return assign_styles([network.name for network in networks])


def _missing(reason: str) -> CaptionedPlot:
    return CaptionedPlot("", "", reason)


def _training(networks: Sequence[Network]) -> CaptionedPlot:
    shared = shared_trainings(networks)
    if not shared:
        return _missing("No training history was found: history.csv is in run folders, not in other result folders.")
    without = [network.name for network in networks if not any(training.history for training in network.trainings)]
    lacking = f" No history was found for {', '.join(without)}." if without else ""
    return CaptionedPlot(
        inline_plot(draw_training(shared, _styles(networks))),
        "Loss, Dice, accuracy and learning rate over the epochs, one line per network",
        "Thin lines: folds. Thick lines: their mean, up to the shortest fold. Validation metrics are computed at the "
        f"input size of the network. Networks that share a training have one curve.{lacking}",
    )


def _rankings(networks: Sequence[Network]) -> CaptionedPlot:
    ranking = [network for network in networks if ranks_malignant(network)]
    if not ranking:
        return _missing("No network predicts 'malignant' on images of which some, but not all, are malignant.")
    return CaptionedPlot(
        inline_plot(draw_rankings(ranking, _styles(networks))),
        "ROC and precision-recall curves of malignant against the rest, one line per network",
        "Malignant against the rest. Folds are pooled, so images of different folds are ranked too. Gray: chance.",
    )


def _classifying(networks: Sequence[Network]) -> list[Network]:
    return [network for network in networks if network.result.probabilities is not None]


def _segmenting(networks: Sequence[Network]) -> list[Network]:
    return [network for network in networks if "dice" in network.result.per_image]


def _calibration(networks: Sequence[Network]) -> CaptionedPlot:
    classifying = _classifying(networks)
    if not classifying:
        return _missing("No network predicts classes.")
    return CaptionedPlot(
        inline_plot(draw_calibration(classifying, _styles(networks))),
        "Reliability diagrams: accuracy against mean probability of the predicted class, one panel per network",
        "Accuracy in each bin of the probability of the predicted class; below, the number of images per bin. Above "
        "the gray line the network is underconfident. ECE: expected calibration error, 15 bins.",
    )


def _confusion(networks: Sequence[Network]) -> CaptionedPlot:
    classifying = _classifying(networks)
    if not classifying:
        return _missing("No network predicts classes.")
    return CaptionedPlot(
        inline_plot(draw_confusion(classifying)),
        "Confusion matrices: true classes in rows, predicted classes in columns, one panel per network",
        "Number of images, and their percentage of the true class.",
    )


def _sizes(networks: Sequence[Network], records: Mapping[ImageKey, Record]) -> CaptionedPlot:
    segmenting = _segmenting(networks)
    if not segmenting:
        return _missing("No network predicts masks.")
    if not records:
        return _missing(NOT_FOUND)
    fractions = lesion_fractions(records)
    if not any(fractions.values()):
        return _missing("No true mask of the tested images that were found can be read and has a lesion.")
    present = [name for name in networks[0].result.class_names if name in networks[0].result.labels]
    # Colors do not depend on which classes are in the plot.
    colors = assign_colors(networks[0].result.class_names)
    lesions = {
        name: colors[name]
        for name in present
        if any(fractions.get(image, 0) > 0 for image, label in zip(
            networks[0].result.images, networks[0].result.labels, strict=True) if label == name)
    }  # fmt: skip
    known = sum(fraction > 0 for fraction in fractions.values())
    return CaptionedPlot(
        inline_plot(draw_sizes(segmenting, fractions, lesions)),
        "Scatter plots of Dice against the fraction of lesion pixels, one panel per network",
        f"{known} images with a lesion. Line: running median over lesions of similar size.",
        lesions,
    )


def _violins(networks: Sequence[Network]) -> CaptionedPlot:
    segmenting = _segmenting(networks)
    if not segmenting:
        return _missing("No network predicts masks.")
    return CaptionedPlot(
        inline_plot(draw_violins(segmenting, _styles(networks))),
        "Violin plots of the Dice of each image, one panel per class, one row per network",
        "Area: distribution of the images. Bar: interquartile range. Ring: median. Tick: mean. The Dice of a normal "
        "image is 1 if nothing is predicted, otherwise 0.",
    )
