"""``python -m scripts.zoo``: the table of docs/networks/zoo.md."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.errors import InputError
from acsnet.models import _registry
from acsnet.models._summary import markdown_table, summarize
from scripts.zoo import check_page, update_page

BEGIN, END = "<!-- zoo:begin -->", "<!-- zoo:end -->"
Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks of the zoo, so that tables are made quickly."""
    names = ("gated_unet", "unet")
    monkeypatch.setattr(_registry, "_ENTRIES", {name: _registry.model_entry(name) for name in names})


@pytest.mark.usefixtures("short_zoo")
def test_page_is_rewritten_only_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / "zoo.md"
    path.write_text(f"before\n\n{BEGIN}\nan old table\n{END}\n\nafter\n")
    with pytest.raises(InputError, match=rf"zoo\.md is stale: regenerate .* -m scripts\.zoo --write {path}"):
        check_page(path)
    assert "an old table" in path.read_text(), "checking changes nothing"
    update_page(path)
    check_page(path)
    table = markdown_table([summarize("gated_unet"), summarize("unet")])
    assert path.read_text() == f"before\n\n{BEGIN}\n{table}\n{END}\n\nafter\n"
    update_page(path)
    assert path.read_text().count(BEGIN) == 1


@pytest.mark.parametrize("text", ["nothing", f"{BEGIN}\nno end", f"{END}\n{BEGIN}\n"])
@pytest.mark.parametrize("function", [check_page, update_page])
def test_files_without_markers_stay(tmp_path: Path, text: str, function: Callable[[Path], None]) -> None:
    path = tmp_path / "zoo.md"
    path.write_text(text)
    with pytest.raises(InputError, match=r"zoo\.md has no zoo section: add the lines <!-- zoo:beg"):
        function(path)
    assert path.read_text() == text
    with pytest.raises(InputError, match=r"there is no file .*other\.md"):
        function(tmp_path / "other.md")


@pytest.mark.usefixtures("short_zoo")
def test_write_and_check(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "zoo.md"
    path.write_text(f"# Title\n{BEGIN}\n{END}\n")
    status, _, errors = invoke("scripts.zoo", "--check", path)
    assert status == 2
    stale = f"the zoo table of {path} is stale: regenerate it with python -m scripts.zoo --write {path}"
    assert errors == f"error: {stale}\n"
    assert invoke("scripts.zoo", "--write", path) == (0, "", "")
    assert "| `gated_unet` |" in path.read_text()
    assert invoke("scripts.zoo", "--check", path) == (0, "", "")


def test_one_of_write_and_check(invoke: Invoke, tmp_path: Path) -> None:
    for arguments, message in (
        (["--write", "--check"], "not allowed with argument"),
        ([tmp_path / "a.md"], "one of the arguments --write --check is required"),
    ):
        status, _, errors = invoke("scripts.zoo", *arguments)
        assert status == 2
        assert message in errors
