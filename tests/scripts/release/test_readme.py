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
        f"| [`tiny`](#tiny) | acsnet ({arguments}) | busi | {entry.size / 1e6:.1f} "
        f"| busi (test subset, n = {test.n}) | " in text
    )
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
    command = re.findall(r"^python tools/test\.py (.*)$", text, flags=re.MULTILINE)[0]
    assert command == "--checkpoint tiny"
    status, output, errors = invoke("test", *shlex.split(command))
    assert status == 0, errors
    dice = read_index().checkpoints["tiny"].tests[0].metrics["dice_lesion"].estimate
    row = next(line for line in output.splitlines() if line.startswith("Dice"))
    assert f"{dice:.3f}" in row.split()[2], "the columns are: all, lesion, ..."


def test_the_table_of_the_main_readme(tested: Path) -> None:
    front = tested.parent / "README.md"
    front.write_text("# Title\n<!-- released:begin -->\n<!-- released:end -->\nThe rest.\n")
    stale = f"{front} is stale: rewrite it by python -m scripts.release readme"
    assert check_release(tested) == [stale]
    write_index(tested, read_index())
    table = next(part for part in (tested / "README.md").read_text().split("\n\n") if part.startswith("| name |"))
    linked = table.replace("(#tiny)", "(checkpoints/README.md#tiny)")
    expected = f"# Title\n<!-- released:begin -->\n{linked}\n<!-- released:end -->\nThe rest.\n"
    assert front.read_text() == expected
    assert "(checkpoints/README.md#tiny)" in linked
    assert check_release(tested) == []
    front.write_text("# Title\n")
    with pytest.raises(InputError, match=r"README\.md has no released section: add the lines"):
        write_index(tested, read_index())
