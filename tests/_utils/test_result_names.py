import re
from pathlib import Path

import pytest

from acsnet._utils.files import WriteError
from acsnet._utils.result_names import ResultNames
from acsnet.errors import DataError, RunError

DRAWING = ResultNames(
    "drawing",
    marks=(("drawings.csv", "sizes.csv"), ("unfinished.csv",)),
    folders=("drawings", "sketches"),
    files=("legend.txt",),
    others=(("painting", "paintings.csv"),),
)


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("names", [(), ("notes.txt", "plans/a.png"), ("drawings_of_mine/a.png",)])
def test_a_folder_without_results(tmp_path: Path, names: tuple[str, ...]) -> None:
    fill(tmp_path, *names)
    before = left(tmp_path)
    for folder in (tmp_path, tmp_path / "new"):
        DRAWING.check_unused(folder)
        assert not DRAWING.are_in(folder)
        DRAWING.clear(folder)
    assert left(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("drawings.csv", "sizes.csv"), "drawings.csv, sizes.csv"),
        (
            ("drawings.csv", "sizes.csv", "sketches/a/b.png", "legend.txt"),
            "drawings.csv, sizes.csv, legend.txt, sketches/",
        ),
        (("unfinished.csv", "drawings/a.png"), "unfinished.csv, drawings/"),
    ],
)
def test_earlier_results(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    fill(tmp_path, *names, "notes.txt")
    message = (
        f"{tmp_path} already holds {said} of an earlier drawing: choose another folder by --out, or pass --overwrite, "
        "which removes them"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        DRAWING.check_unused(tmp_path)
    DRAWING.check_unused(tmp_path, overwrite=True)
    assert set(names) <= set(left(tmp_path)), "a check removes nothing"
    DRAWING.clear(tmp_path)
    assert left(tmp_path) == ["notes.txt"]
    DRAWING.check_unused(tmp_path)


def test_files_of_the_user_in_folders_of_results_stay(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "drawings.csv",
        "sizes.csv",
        "drawings/a.png",
        "drawings/my notes.txt",
        "drawings/b/c.png",
        "mine/a.png",
    )
    fill(tmp_path / "elsewhere", "a.png")
    (tmp_path / "drawings" / "link.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "drawings" / "all").symlink_to(tmp_path / "elsewhere")
    DRAWING.clear(tmp_path)
    kept = ["drawings", "drawings/all", "drawings/link.png", "drawings/my notes.txt"]
    assert left(tmp_path) == [*kept, "elsewhere", "elsewhere/a.png", "mine", "mine/a.png"]


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("drawings/a.png", "folder drawings/"),
        ("sketches/notes.txt", "folder sketches/"),
        ("drawings.csv", "file drawings.csv"),
        ("legend.txt", "file legend.txt"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_may_be_the_user_s(tmp_path: Path, name: str, thing: str, overwrite: bool) -> None:
    fill(tmp_path, name)
    text = rf"has a {thing} and no drawings\.csv and sizes\.csv of an earlier drawing, so that its files may be yours"
    with pytest.raises(DataError, match=text):
        DRAWING.check_unused(tmp_path, overwrite)
    DRAWING.clear(tmp_path)
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_results_of_another_tool(tmp_path: Path, overwrite: bool) -> None:
    fill(tmp_path, "paintings.csv", "drawings.csv", "sizes.csv")
    text = (
        r"already holds paintings\.csv of an earlier painting: choose another folder by --out, so that their results do"
    )
    with pytest.raises(RunError, match=text):
        DRAWING.check_unused(tmp_path, overwrite)


def test_a_folder_of_results_that_is_a_link(tmp_path: Path) -> None:
    disk = fill(tmp_path / "disk", "a.png")
    out = fill(tmp_path / "out", "drawings.csv", "sizes.csv")
    (out / "drawings").symlink_to(disk)
    with pytest.raises(RunError, match=r"out/drawings is a link, so that its files are not removed: choose another"):
        DRAWING.check_unused(out, overwrite=True)
    DRAWING.clear(out)
    assert left(disk) == ["a.png"]


def test_results_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "drawings.csv", "sizes.csv", "drawings/a.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(WriteError, match=r"could not be written \(Permission denied\)"):
        DRAWING.clear(tmp_path)
