import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.checkpoints import ReleaseIndex, read_index
from acsnet.errors import InputError
from scripts.release import check_release, release_readme, write_index

Invoke = Callable[..., tuple[int, str, str]]


def test_none_yet() -> None:
    assert "There are none yet." in release_readme(ReleaseIndex())


def test_the_description_of_a_checkpoint(tested: Path) -> None:
    text = (tested / "README.md").read_text()
    entry = read_index().checkpoints["tiny"]
    (test,) = entry.tests
    dice = test.metrics["dice_lesion"]
    arguments = ", ".join(f"{key} {value}" for key, value in entry.arguments.items())
    assert text == release_readme(read_index())
    assert (
        f"| [`tiny`](#tiny) | acsnet (encoder {entry.arguments['encoder']}) | busi | {entry.size / 1e6:.1f} "
        f"| busi (test subset, n = {test.n}) | " in text
    )
    assert f"- **Network:** acsnet ({arguments}), " in text
    assert f"| Dice (lesions) | {dice.estimate:.3f} [{dice.low:.3f}, {dice.high:.3f}] |" in text
    assert "- **Limit:** Phantoms only." in text
    assert "- **License:** CC-BY-4.0" in text
    assert entry.sha256 in text
    for case in test.worst_cases:
        assert f"| {case.image} | {case.label} | {case.predicted} |" in text
    assert "There are none yet." not in text


def test_its_tables_are_tables(tested: Path) -> None:
    """Every row has the cells of its head, and a blank line stands before."""
    lines = (tested / "README.md").read_text().splitlines()
    heads = [number for number, line in enumerate(lines) if re.fullmatch(r"\|( --- \|)+", line)]
    assert len(heads) == 3
    for number in heads:
        assert lines[number - 2] == ""
        columns = lines[number].count("|")
        rows = lines[number - 1 :]
        for line in rows[: rows.index("") if "" in rows else None]:
            assert line.replace("\\|", "").count("|") == columns


def test_its_command_reproduces_its_metrics(tested: Path, invoke: Invoke) -> None:
    text = (tested / "README.md").read_text()
    command = re.findall(r"^acsnet test (.*)$", text, flags=re.MULTILINE)[0]
    assert command == "--checkpoint tiny"
    status, output, errors = invoke("test", *shlex.split(command))
    assert status == 0, errors
    dice = read_index().checkpoints["tiny"].tests[0].metrics["dice_lesion"].estimate
    row = next(line for line in output.splitlines() if line.startswith("Dice"))
    assert f"{dice:.3f}" in row.split()[2], "the columns are: all, lesion, ..."


BEGIN, END = "<!-- released:begin -->", "<!-- released:end -->"


def test_the_tables_of_the_main_readme_and_of_accuracy(tested: Path) -> None:
    front, accuracy = tested.parent / "README.md", tested.parent / "docs" / "benchmarks" / "accuracy.md"
    accuracy.parent.mkdir(parents=True)
    for page in (front, accuracy):
        page.write_text(f"# Title\n{BEGIN}\n{END}\nThe rest.\n")
    stale = [f"{page} is stale: rewrite it by python -m scripts.release readme" for page in (front, accuracy)]
    assert check_release(tested) == stale
    write_index(tested, read_index())
    table = next(part for part in (tested / "README.md").read_text().split("\n\n") if part.startswith("| name |"))
    assert accuracy.read_text() == f"# Title\n{BEGIN}\n{table.replace('[`tiny`](#tiny)', '`tiny`')}\n{END}\nThe rest.\n"
    (row,) = re.findall(r"^\| \[`tiny`\]\(checkpoints/README\.md#tiny\) \|.*$", front.read_text(), flags=re.MULTILINE)
    dice = read_index().checkpoints["tiny"].tests[0].metrics["dice_lesion"]
    assert f"| {dice.estimate:.3f} [{dice.low:.3f}, {dice.high:.3f}] |" in row
    assert check_release(tested) == []


def test_the_short_table_has_one_row_per_checkpoint(tested: Path) -> None:
    """The test by the protocol of the training: not those with settings, and none for a checkpoint without tests."""
    front = tested.parent / "README.md"
    front.write_text(f"{BEGIN}\n{END}\n")
    index = read_index()
    entry = index.checkpoints["tiny"]
    (test,) = entry.tests
    other = test.model_copy(update={"overrides": ("evaluation.threshold=0.3",)})
    checkpoints = {
        "both": entry.model_copy(update={"tests": (other, test)}),
        "changed": entry.model_copy(update={"tests": (other,)}),
        "untested": entry.model_copy(update={"tests": ()}),
    }
    write_index(tested, index.model_copy(update={"checkpoints": checkpoints}))
    assert re.findall(r"^\| \[`(\w+)`\]", front.read_text(), flags=re.MULTILINE) == ["both"]


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks/accuracy.md"])
def test_a_page_without_a_place_for_its_table(tested: Path, name: str) -> None:
    page = tested.parent / name
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("# Title\n")
    with pytest.raises(InputError, match=rf"{page.name} has no released section: add the lines"):
        write_index(tested, read_index())
    assert page.read_text() == "# Title\n"
