"""The report as a whole: the page and its tables."""

import csv
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from acsnet._utils.tables import escape_latex
from acsnet.config import build_config
from acsnet.errors import RunError, UnknownNameError
from acsnet.report import Network, read_networks, write_report
from acsnet.report.training import Training
from acsnet.statistics.pooling import pool_folds

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Holds a page to well-formedness, and collects its words, ids and addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def report(networks: list[Network], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    training = Training(config=build_config({"model": {"name": "unetpp"}}, [], ""))
    counted = [
        replace(run, metrics=({**run.metrics[0], "published": {"eee402": {"dice": 0.5, "accuracy": 0.75}}},))
        for run in networks[0].runs
    ]
    unet = replace(
        networks[0], result=pool_folds(counted), runs=tuple(counted), trainings=(training,) * len(networks[0].runs)
    )
    missing = write_report(out, [unet, *networks[1:]], title="Three <networks>", problems=["one & run is broken"])
    assert len(missing) == 2
    return out


def test_the_page_stands_alone(report: Path) -> None:
    page = Page(report / "report.html")
    assert len(set(page.ids)) == len(page.ids)
    assert page.addresses
    for address in page.addresses:
        assert address.startswith("data:") or address.removeprefix("#") in page.ids


def test_the_page_says_what_was_compared(report: Path) -> None:
    text = Page(report / "report.html").text
    assert "Three <networks>" in text
    assert "3 networks every pair is tested" in text
    assert "60 images tested benign 20, malignant 20, normal 20" in text
    assert "60 groups one image per group 2 folds tested subset: 'test' busi dataset" in text
    assert "split0 split and split1" in text
    assert "3 inputs are missing or broken; the others are reported. one & run is broken" in text


def test_empty_sections_name_the_reason_and_the_remedy(report: Path) -> None:
    text = Page(report / "report.html").text
    assert "No two networks have the same weights and different evaluation settings." in text
    assert "No training history was found: history.csv is in run folders" in text
    assert "The images were not found: in acsnet report, --set data.root=FOLDER (with --set data.dataset=NAME" in text
    assert text.count("No predictions were saved: test again with acsnet test --save-predictions.") == 3


def read_figures(folder: Path) -> list[dict[str, str]]:
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_files_have_the_same_values(report: Path) -> None:
    rows = read_figures(report)
    assert {row["table"] for row in rows} == {
        "segmentation",
        "segmentation_classes",
        "classification",
        "classification_classes",
        "published_eee402",
        "tests_dice_lesion",
        "tests_accuracy",
        "tests_auroc_malignant",
        "cost",
    }
    page = Page(report / "report.html").text
    markdown = (report / "comparison.md").read_text(encoding="utf-8")
    latex = (report / "comparison.tex").read_text(encoding="utf-8")
    for row in rows:
        for figure in filter(None, (row["figure"], row["low"], row["fold_mean"])):
            assert figure in page
            assert figure.replace("<", r"\<") in markdown
            assert escape_latex(figure) in latex


def test_all_files_mark_published_values(report: Path) -> None:
    published = [row for row in read_figures(report) if row["source"] == "published"]
    assert {(row["table"], row["row"]) for row in published} == {("published_eee402", "unet")}
    assert {row["column"]: row["figure"] for row in published} == {
        "accuracy": "0.800",
        "Dice (pooled)": "0.649",
        "IoU (pooled)": "0.481",
    }
    assert "| unet, published (U-Net++) | 0.800 | 0.649 | 0.481 |" in (report / "comparison.md").read_text("utf-8")
    assert "unet, published (U-Net++) & 0.800 & 0.649" in (report / "comparison.tex").read_text(encoding="utf-8")
    text = Page(report / "report.html").text
    assert "unet measured 0.750 0.750 ± 0.000 0.500" in text
    assert "unet published (U-Net++) 0.800 0.649 0.481" in text


def test_a_cross_validation_has_every_section(cross_validation: Path, tmp_path: Path) -> None:
    networks, problems = read_networks([str(cross_validation)])
    assert write_report(tmp_path, networks, problems=problems) == []
    page = Page(tmp_path / "report.html")
    assert "missing or broken" not in page.text
    assert "refining.empty_mask_for_normal (False -> True)" in page.text
    assert "No history was found" not in page.text
    # Curves, ROC, calibration, confusion, sizes and violins; and at most 24 cases of each network.
    drawings = [address for address in page.addresses if address.startswith("data:image/svg+xml")]
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg")]
    assert len(drawings) == 6
    # Plus 8 explanations of the training that both share.
    assert len(pictures) == 48 + 8
    assert "1.23 12.5 2" in page.text
    assert "refining: empty mask for normal" in page.text


def test_one_network_alone_and_one_task(networks: list[Network], tmp_path: Path) -> None:
    run = replace(networks[0].runs[0], predicted=None, probabilities=None)
    alone = replace(networks[0], trainings=networks[0].trainings[:1])
    write_report(tmp_path / "masks", [replace(alone, result=run, runs=(run,))])
    text = Page(tmp_path / "masks" / "report.html").text
    assert "There is only one network: nothing to test." in text
    assert text.count("No network predicts classes.") == 2
    assert "No network predicts 'malignant'" in text
    run = replace(networks[0].runs[0], per_image={})
    write_report(tmp_path / "classes", [replace(alone, result=run, runs=(run,))])
    assert Page(tmp_path / "classes" / "report.html").text.count("No network predicts masks.") == 2


def test_nothing_is_written_if_the_networks_cannot_be_compared(networks: list[Network], tmp_path: Path) -> None:
    run = networks[0].runs[0]
    other = replace(networks[1].runs[0], images=tuple(("busi", f"other {name}") for _, name in run.images))
    pair = [replace(networks[0], result=run, runs=(run,)), replace(networks[1], result=other, runs=(other,))]
    with pytest.raises(RunError, match=r"cannot be compared: .*only in unet: "):
        write_report(tmp_path / "out", pair)
    with pytest.raises(UnknownNameError, match="unknown network 'unett'"):
        write_report(tmp_path / "out", networks, reference="unett")
    assert not (tmp_path / "out").exists()
