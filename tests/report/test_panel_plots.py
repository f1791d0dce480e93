from dataclasses import replace

import numpy as np
import pytest

from acsnet._utils.html import inline_plot
from acsnet.report import Network
from acsnet.report.curve_plots import assign_styles
from acsnet.report.panel_plots import draw_calibration, draw_confusion, draw_sizes, draw_violins, running_median

STYLES = assign_styles(["unet", "acsnet", "unetpp"])


def test_confusion_counts_images(networks: list[Network]) -> None:
    figure = draw_confusion(networks)
    for axes, network in zip(figure.axes, networks, strict=False):
        matrix = sum(np.array(run.metrics[0]["classification"]["confusion_matrix"]) for run in network.runs)
        texts = [int(text.get_text().splitlines()[0]) for text in axes.texts]
        assert texts == np.ravel(matrix).tolist()
    inline_plot(figure)


def test_a_class_without_a_case_has_no_percentage(networks: list[Network]) -> None:
    run = networks[0].result
    few = replace(run, labels=tuple("benign" if label == "normal" else label for label in run.labels))
    texts = [text.get_text() for text in draw_confusion([replace(networks[0], result=few)]).axes[0].texts]
    assert texts[6:] == ["0\nno case"] * 3


def test_calibration_says_how_many_images_a_bin_has(networks: list[Network]) -> None:
    figure = draw_calibration(networks, STYLES)
    for axes in figure.axes[:3]:
        assert sum(int(text.get_text()) for text in axes.texts) == 60
        assert "ECE 0." in axes.get_xlabel()
    inline_plot(figure)


def test_running_median() -> None:
    sizes, values = np.arange(20.0)[::-1], np.arange(20.0)[::-1] * 2
    middle, medians = running_median(sizes, values)
    assert middle.tolist() == list(range(4, 16))
    assert medians.tolist() == [2 * size for size in range(4, 16)]
    # With a hundred images the window is of twelve.
    assert len(running_median(np.arange(100.0), np.arange(100.0))[0]) == 89
    middle, medians = running_median(np.array([3.0, 1.0]), np.array([0.2, 0.4]))
    assert (middle.tolist(), medians.tolist()) == ([2.0], [pytest.approx(0.3)])
    assert running_median(np.empty(0), np.empty(0))[0].size == 0


def test_dots_are_lesions_with_a_known_size(networks: list[Network]) -> None:
    result = networks[0].result
    shares = dict.fromkeys(result.images[:10], 0.25) | {result.images[10]: 0.0}
    figure = draw_sizes(networks, shares, {"benign": "#0072b2", "malignant": "#d55e00"})
    lesions = sum(label != "normal" for label in result.labels[:10])
    dots = [point for collection in figure.axes[0].collections for point in collection.get_offsets().tolist()]
    assert len(dots) == lesions
    assert {x for x, _ in dots} == {25.0}
    inline_plot(figure)


@pytest.mark.parametrize("largest", [0.08, 0.2, 0.9])
def test_sizes_within_a_decade_have_short_labels(networks: list[Network], largest: float) -> None:
    images = networks[0].result.images
    shares = {image: 0.02 + (largest - 0.02) * index / len(images) for index, image in enumerate(images)}
    figure = draw_sizes(networks, shares, {"benign": "#0072b2", "malignant": "#d55e00"})
    figure.draw_without_rendering()
    labels = figure.axes[0].xaxis.get_ticklabels(which="both")
    texts = [label.get_text() for label in labels if label.get_text()]
    assert [float(text) for text in texts], "plain numbers, not powers of ten"


def test_violins_of_any_distribution(networks: list[Network]) -> None:
    run = networks[0].result
    same = replace(run, per_image={**run.per_image, "dice": np.ones(60)})
    undefined = replace(run, per_image={**run.per_image, "dice": np.full(60, np.nan)})
    three = [replace(network, result=result) for network, result in zip(networks, (run, same, undefined), strict=True)]
    figure = draw_violins(three, STYLES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["benign (20)", "malignant (20)", "normal (20)"]
    benign = figure.axes[0]
    assert len(benign.collections) == 1
    dice = run.per_image["dice"][np.array(run.labels) == "benign"]
    bar, ring, tick = benign.lines[:3]
    assert bar.get_xdata() == pytest.approx(np.quantile(dice, (0.25, 0.75)))
    assert ring.get_xdata() == pytest.approx([np.median(dice)])
    assert tick.get_xdata() == pytest.approx([dice.mean()])
    assert len(benign.lines) == 6
    inline_plot(figure)
