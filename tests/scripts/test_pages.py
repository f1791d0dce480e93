"""The pages that scripts write: written, checked, and stale."""

import sys
from pathlib import Path

import pytest

from acsnet.errors import InputError
from scripts.pages import REPOSITORY, check_fresh, write_or_check


def call(monkeypatch: pytest.MonkeyPatch, option: str, path: Path, content: str = "new") -> None:
    monkeypatch.setattr(sys, "argv", ["scripts.some", option])
    write_or_check("scripts.some", "a page", {path: lambda: content})


def test_a_page_is_written_then_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "page.md"
    with pytest.raises(InputError, match=r"page\.md is stale: write it again by python -m scripts\.some --write$"):
        call(monkeypatch, "--check", path)
    call(monkeypatch, "--write", path)
    assert path.read_text() == "new"
    call(monkeypatch, "--check", path)
    with pytest.raises(InputError, match=r"page\.md is stale"):
        call(monkeypatch, "--check", path, "newer")
    assert path.read_text() == "new", "checking changes nothing"


@pytest.mark.parametrize("arguments", [[], ["--write", "--check"], ["--wirte"]])
def test_one_of_write_and_check(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts.some", *arguments])
    with pytest.raises(SystemExit):
        write_or_check("scripts.some", "a page", {})


def test_a_page_of_the_repository_has_a_short_name() -> None:
    with pytest.raises(InputError, match=r"^docs/no_such\.md is stale: "):
        check_fresh(REPOSITORY / "docs" / "no_such.md", "", "scripts.some")
