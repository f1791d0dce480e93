"""The table of docs/benchmarks/ablation.md: python -m scripts.ablation add ... | --write | --check.

Each row is a training that differs from a released recipe in what its text says, tested on the test subset of BUSI and
on images of other hospitals. Both tests are read from the folders that ``acsnet test`` writes.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acsnet._utils.files import replace_section, write_json
from acsnet._utils.json_text import parse_json
from acsnet._utils.tables import Table
from acsnet.cli import run
from acsnet.errors import InputError
from scripts.pages import REPOSITORY, write_or_check

ROWS = REPOSITORY / "scripts" / "ablation.json"
PAGE = REPOSITORY / "docs" / "benchmarks" / "ablation.md"
SECTION = "ablation"
_METRICS: Mapping[str, Callable[[Any], float]] = {
    "Dice (lesions)": lambda metrics: metrics["segmentation"]["lesion"]["dice"],
    "accuracy": lambda metrics: metrics["classification"]["accuracy"],
    "AUROC (malignant)": lambda metrics: metrics["classification"]["auroc_malignant"],
}
_PLACES = ("BUSI", "other hospitals")


def main() -> None:
    """Parse the command line, then add a row, or write or check the page."""
    if sys.argv[1:2] != ["add"]:
        write_or_check("scripts.ablation", "the table of ablations", {PAGE: lambda: page_text(ROWS, PAGE)})
        return
    parser = ArgumentParser(prog="python -m scripts.ablation add", description="Add or replace a row.")
    parser.add_argument("text", help="what the training has that the others do not")
    parser.add_argument("home", type=Path, help="folder of acsnet test on the test subset of BUSI")
    parser.add_argument("away", type=Path, help="folder of acsnet test on all images of other hospitals")
    arguments = parser.parse_args(sys.argv[2:])
    add_row(ROWS, arguments.text, arguments.home, arguments.away)


def add_row(path: Path, text: str, home: Path, away: Path) -> None:
    """Add a training to the rows, or replace the row of the same text.

    Args:
        path: the JSON file of the rows.
        text: what the training has that the others do not.
        home: folder of a test on the test subset of BUSI.
        away: folder of a test on all images of other hospitals.

    Raises:
        InputError: if a folder has no test, or it is of other images or of another checkpoint than the row needs.
    """
    tests = [_read_test(folder) for folder in (home, away)]
    for folder, test, subset in zip((home, away), tests, ("test", "all"), strict=True):
        if test["subset"] != subset:
            raise InputError(f"{folder} tests the subset {test['subset']}: expected {subset}")
    if tests[0]["checkpoint_sha256"] != tests[1]["checkpoint_sha256"]:
        raise InputError(f"{home} and {away} test different checkpoints")
    rows = {row["text"]: row for row in parse_json(path.read_text(encoding="utf-8"))} if path.exists() else {}
    rows[text] = {
        "text": text,
        "model": tests[0]["model"],
        "parameters": tests[0]["parameters"],
        "tests": [
            {"n": test["n"], "dataset_hash": test["dataset_hash"]}
            | {title: round(read(test), 4) for title, read in _METRICS.items()}
            for test in tests
        ],
    }
    write_json(path, [*rows.values()])


def _read_test(folder: Path) -> dict[str, Any]:
    file = folder / "metrics.json"
    if not file.is_file():
        raise InputError(f"there is no {file}: pass a folder that acsnet test wrote")
    content: dict[str, Any] = parse_json(file.read_text(encoding="utf-8"))
    return content


def page_text(rows: Path, page: Path) -> str:
    """Return the page with the table of the rows.

    Raises:
        InputError: if the rows were tested on different images.
    """
    listed = parse_json(rows.read_text(encoding="utf-8"))
    tested = {tuple(test["dataset_hash"] for test in row["tests"]) for row in listed}
    if len(tested) != 1:
        raise InputError(f"{rows} has tests of {len(tested)} different sets of images: test all rows on the same")
    sizes = [test["n"] for test in listed[0]["tests"]]
    titles = [
        f"{title}, {place} (n = {size})" for place, size in zip(_PLACES, sizes, strict=True) for title in _METRICS
    ]
    table = [("training", "network", "parameters (M)", *titles)]
    for row in listed:
        values = [f"{test[title]:.3f}" for test in row["tests"] for title in _METRICS]
        table.append((row["text"], f"`{row['model']}`", f"{row['parameters'] / 1e6:.2f}", *values))
    return replace_section(page, SECTION, lambda: Table.from_rows(table, left=["network"]).to_markdown())


if __name__ == "__main__":
    run(main)
