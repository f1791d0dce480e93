"""Several files: one sentence for each that cannot be used, results for all others, and stated limits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.app import limits
from acsnet.app.batch import analyze_files, unique_names
from acsnet.app.limits import MAX_FILES, check_files
from acsnet.app.networks import Network
from acsnet.errors import InputError


def test_broken_files_do_not_keep_the_others_from_being_analyzed(
    network: Network, image: Path, tmp_path: Path, write_cine: Callable[..., Path]
) -> None:
    files = {
        "notes.txt": b"no image",
        "empty.png": b"",
        "cut.png": image.read_bytes()[:2000],
        "page.png": b"%PDF-1.4",
        "\x1b[31mred.png": b"?",
    }
    paths = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        paths.append(tmp_path / name)
    paths.append(write_cine(tmp_path / "report.dcm", frames=0))
    steps = []
    batch = analyze_files(
        network, [paths[0], image, *paths[1:], image], lambda done, total: steps.append((done, total))
    )
    assert [analysis.name for analysis in batch.analyzed] == ["image.png", "image (2).png"]
    assert steps[0] == (0, 8)
    text = "\n".join(batch.problems)
    assert len(batch.problems) == len(paths)
    assert batch.problems[0].startswith("notes.txt cannot be read as an image (its format is unknown): convert it")
    assert "empty.png cannot be read as an image (it is empty): copy it again from its source" in text
    assert "cut.png cannot be read as an image (" in text
    assert "page.png cannot be read as an image (it is a PDF file): convert it" in text
    assert "report.dcm is a DICOM file without an image: leave it out" in text
    assert r"\x1b[31mred.png cannot be read" in text
    assert str(tmp_path) not in text, "the place of a file on this machine is not shown"


def test_a_file_that_is_too_large(network: Network, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 1000)
    batch = analyze_files(network, [image])
    assert batch.analyzed == ()
    assert batch.problems == (
        "image.png has 0 MB, and the page takes files of up to 0 MB: predict it by acsnet predict",
    )


@pytest.mark.parametrize("count", [MAX_FILES + 1, 1000])
def test_too_many_files(network: Network, count: int) -> None:
    with pytest.raises(InputError, match=f"^there are {count} files, and the page takes 100 at once: remove some"):
        analyze_files(network, [Path("x.png")] * count)
    check_files([Path("x.png")] * MAX_FILES)


def test_a_spacing_of_all_files_comes_before_that_of_a_header(
    network: Network, image: Path, tmp_path: Path, write_cine: Callable[..., Path]
) -> None:
    cine = write_cine(tmp_path / "cine.dcm")
    declared = [analysis.spacing for analysis in analyze_files(network, [image, cine]).analyzed]
    assert declared[0] is None
    assert declared[1] is not None
    given = analyze_files(network, [image, cine], spacing=(0.5, 0.25)).analyzed
    assert [analysis.spacing for analysis in given] == [(0.5, 0.25)] * 2


def test_no_file(network: Network) -> None:
    with pytest.raises(InputError, match=r"^there is no image: drop one or several on the page"):
        analyze_files(network, [])


def test_names_are_unique() -> None:
    paths = [Path(name) for name in ("a/x.png", "b/x.png", "c/x.png", "x.dcm")]
    assert unique_names(paths) == ["x.png", "x (2).png", "x (3).png", "x.dcm"]
