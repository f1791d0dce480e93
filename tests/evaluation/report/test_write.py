"""The report as a whole: what the page and the tables beside it say."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from acsnet.evaluation.report import read_networks, write_report

FolderMaker = Callable[..., Path]
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
def folders(write_run: FolderMaker) -> list[Path]:
    """Three networks on two folds."""
    return [
        write_run(name, fold=fold, seed=10 * fold + order, skill=skill)
        for order, (name, skill) in enumerate({"unet": 0.5, "acsnet": 3.0, "unetpp": 0.6}.items())
        for fold in (0, 1)
    ]


@pytest.fixture(scope="module")
def report(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    networks, problems = read_networks([*map(str, folders), "nowhere"])
    write_report(out, networks, title="Three <networks>", problems=problems)
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
    assert "there is no folder nowhere" in text
