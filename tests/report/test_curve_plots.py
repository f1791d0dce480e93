from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from sklearn.metrics import auc, roc_auc_score

from acsnet._utils.html import inline_plot
from acsnet.report import Network, read_networks
from acsnet.report.curve_plots import (
    assign_styles,
    draw_rankings,
    draw_training,
    malignant_scores,
    ranks_malignant,
    shared_trainings,
)
from acsnet.report.training import Training


def with_histories(network: Network, *histories: list[float]) -> Network:
    trainings = [
        Training(
            Path(f"{network.name}{fold}"),
            None,
            tuple({"epoch": epoch, "loss": loss, "learning_rate": 0.1} for epoch, loss in enumerate(losses, start=1)),
        )
        for fold, losses in enumerate(histories)
    ]
    return replace(network, trainings=tuple(trainings))


def test_ten_networks_have_distinct_styles() -> None:
    styles = assign_styles([str(index) for index in range(20)])
    assert len({*styles.values()}) == 20
    assert styles["8"].color == styles["0"].color


def test_the_mean_goes_as_far_as_all_folds(networks: list[Network]) -> None:
    network = with_histories(networks[0], [1.0, 0.5, 0.25], [2.0, 1.5])
    figure = draw_training(shared_trainings([network]), assign_styles(["unet"]))
    loss = figure.axes[0]
    assert loss.get_title(loc="left") == "loss, training subset"
    thin, thin_too, strong = loss.lines
    assert thin.get_ydata().tolist() == [1.0, 0.5, 0.25]
    assert thin_too.get_ydata().tolist() == [2.0, 1.5]
    assert strong.get_xdata().tolist() == [1, 2]
    assert strong.get_ydata().tolist() == [1.5, 1.0]
    assert strong.get_linewidth() > thin.get_linewidth()
    assert figure.axes[2].texts[0].get_text() == "not measured"
    inline_plot(figure)


def test_networks_of_one_training_have_one_curve(cross_validation: Path) -> None:
    networks, _ = read_networks([str(cross_validation)])
    assert [*shared_trainings(networks)] == ["plain, refined"]
    figure = draw_training(shared_trainings(networks), assign_styles(["plain", "refined"]))
    assert len(figure.axes[0].lines) == 3
    assert [text.get_text() for text in figure.axes[5].get_legend().get_texts()] == ["plain, refined"]


def test_without_history_there_is_no_curve(networks: list[Network]) -> None:
    assert shared_trainings(networks) == {}


def test_curves_are_those_of_scikit_learn(networks: list[Network]) -> None:
    styles = assign_styles([network.name for network in networks])
    figure = draw_rankings(networks, styles)
    roc, precision = figure.axes[:2]
    for network, line in zip(networks, roc.lines, strict=False):
        area = auc(line.get_xdata(), line.get_ydata())
        assert area == pytest.approx(roc_auc_score(*malignant_scores(network)))
        assert to_hex(line.get_color()) == styles[network.name].color
        text = f"{network.name}: AUROC {area:.3f}"
        assert text in [entry.get_text() for entry in figure.axes[2].get_legend().get_texts()]
    assert len(precision.lines) == 4
    inline_plot(figure)


def test_a_dollar_in_a_name_does_not_start_a_formula(networks: list[Network]) -> None:
    odd = replace(networks[0], name="$x_")
    inline_plot(draw_rankings([odd], assign_styles(["$x_"])))


def test_networks_that_rank_malignant(networks: list[Network]) -> None:
    run = networks[0].result
    assert ranks_malignant(networks[0])
    for result in (
        replace(run, probabilities=None),
        replace(run, class_names=("benign", "cancer", "normal")),
        replace(run, labels=("benign",) * len(run.labels)),
        replace(run, labels=("malignant",) * len(run.labels)),
    ):
        assert not ranks_malignant(replace(networks[0], result=result))
