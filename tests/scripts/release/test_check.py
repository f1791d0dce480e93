import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsnet._utils.files import write_json
from acsnet.checkpoints import read_index, read_metadata, read_weights, save_checkpoint
from scripts.release import check, check_release, release_checkpoint, reproduce_results

Invoke = Callable[..., tuple[int, str, str]]


def test_all_right(tested: Path) -> None:
    assert check_release(tested) == []
    assert reproduce_results(["tiny"], [], tested, progress=False) == []


def test_problems_with_files(tested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tested / "tiny.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    (problem,) = check_release(tested)
    assert problem.startswith(f"{path} is not the released file: its SHA-256 is ")
    path.write_bytes(content[:-1])
    (problem,) = check_release(tested)
    assert f"it is {len(content) - 1} bytes, not {len(content)}" in problem
    path.unlink()
    assert check_release(tested) == [f"there is no file {path}: copy it from the release"]
    path.write_bytes(content)
    (tested / "stray.safetensors").touch()
    assert check_release(tested) == [f"{tested}/stray.safetensors is not in the index"]
    (tested / "stray.safetensors").unlink()
    monkeypatch.setattr(check, "MAX_TOTAL_BYTES", len(content) - 1)
    (problem,) = check_release(tested)
    assert problem.startswith("all files are ")


def test_a_stale_readme(tested: Path) -> None:
    readme = tested / "README.md"
    readme.write_text(readme.read_text() + "more\n")
    stale = [f"{readme} is stale: rewrite it by python -m scripts.release readme"]
    assert check_release(tested) == stale
    readme.unlink()
    assert check_release(tested) == stale


def test_without_results(folder: Path) -> None:
    assert check_release(folder) == [
        "tiny has no results: test it by its name, and pass the folder to add-results",
    ]


def test_a_list_that_is_not_the_split_of_the_training(clone: Path, trained_run: Path) -> None:
    """The released list is part of the release: with another, a test would look at trained images."""
    metadata = read_metadata(trained_run / "best.safetensors")
    config = {**metadata.config, "data": {**metadata.config["data"], "split_file": "listed"}}
    checkpoint = clone / "listed.safetensors"
    save_checkpoint(
        checkpoint, read_weights(trained_run / "best.safetensors"), metadata.model_copy(update={"config": config})
    )
    folder = clone / "checkpoints"
    shutil.copy(trained_run / "split.csv", folder / "listed.csv")
    recipe = (Path("configs/tiny.yaml"), ["data.split_file=listed", "model.initial_weights=runs/first.safetensors"])
    release_checkpoint(checkpoint, "tiny", *recipe, "CC0-1.0", [], folder, ["acsnet train configs/tiny.yaml"])
    without_figures = "tiny has no results: test it by its name, and pass the folder to add-results"
    assert check_release(folder) == [without_figures]
    lines = (folder / "listed.csv").read_text()
    (folder / "listed.csv").write_text(lines.replace(",test\n", ",train\n", 1))
    message = f"tiny was trained on the split {metadata.split_hash}, which differs from the split file listed"
    assert check_release(folder) == [message, without_figures]
    (folder / "listed.csv").unlink()
    assert check_release(folder) == [
        "unknown released split 'listed': the path of a list ends in .csv",
        without_figures,
    ]


def change_figure(folder: Path, by: float) -> None:
    path = folder / "index.json"
    content: Any = json.loads(path.read_text())
    content["checkpoints"]["tiny"]["tests"][0]["metrics"]["dice_lesion"]["estimate"] += by
    write_json(path, content)


def test_a_metric_that_differs(tested: Path) -> None:
    then = read_index().checkpoints["tiny"].tests[0].metrics["dice_lesion"].estimate
    assert then is not None
    change_figure(tested, 0.0009)
    assert reproduce_results(["tiny"], [], tested, progress=False) == []
    change_figure(tested, 0.0002)
    (problem,) = reproduce_results(["tiny"], [], tested, progress=False)
    assert problem == f"tiny: Dice (lesions) (estimate) is {then}, but {then + 0.0009 + 0.0002} was released"


def test_other_images(tested: Path) -> None:
    from acsnet.phantom import write_phantoms

    root = tested.parent / "others"
    counts = {"benign": 14, "malignant": 12, "normal": 10}
    write_phantoms(root, counts, seed=1, size=(64, 64), vary_size=False, progress=False)
    problems = reproduce_results(["tiny"], [f"data.root={root}"], tested, progress=False)
    assert len(problems) == 1
    assert " are different images from {'busi': " in problems[0]


def test_the_steps_on_the_command_line(invoke: Invoke, clone: Path, trained_run: Path) -> None:
    status, output, _ = invoke("scripts.release", "check")
    assert status == 2, "no README yet"
    assert invoke("scripts.release", "readme")[0] == 0
    assert invoke("scripts.release", "check")[1] == "0 released checkpoints: no problems found\n"
    best = trained_run / "best.safetensors"
    step = ["--name", "tiny", "--recipe", "configs/tiny.yaml", "--license", "CC0-1.0"]
    status, output, errors = invoke("scripts.release", "promote", best, *step, "--limits", "Phantoms only.", "Small.")
    assert status == 0, errors
    assert "now test it: acsnet test --checkpoint tiny --out results/tiny" in output
    status, _, errors = invoke("scripts.release", "check")
    assert (status, errors.startswith("error: tiny has no results")) == (2, True)
    status, output, errors = invoke("test", "--checkpoint", "tiny")
    assert status == 0, errors
    assert "results/tiny/metrics.json" in output
    status, output, errors = invoke("scripts.release", "add-results", "tiny", "results/tiny")
    assert status == 0, errors
    status, output, errors = invoke("scripts.release", "check", "--reproduce")
    assert (status, output) == (0, "1 released checkpoints: no problems found\n"), errors
    change_figure(clone / "checkpoints", 0.01)
    invoke("scripts.release", "readme")
    status, _, errors = invoke("scripts.release", "check", "tiny", "--reproduce")
    assert status == 2
    assert errors.splitlines()[-1].startswith("error: tiny: Dice (lesions) (estimate) is ")
    images = clone / "data" / "Dataset_BUSI_with_GT" / "normal"
    status, _, errors = invoke("predict", "--checkpoint", "tiny", "--out", clone / "predictions", images)
    assert status == 0, errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["promot"], "invalid choice: 'promot'"),
        (["promote", "a.safetensors", "--name", "a"], "the following arguments are required: --recipe, --license"),
        (["add-results", "a"], "the following arguments are required: DIR"),
        (["check", "tinny"], "unknown released checkpoint 'tinny'"),
    ],
)
def test_wrong_command_lines(invoke: Invoke, clone: Path, arguments: list[str], message: str) -> None:
    status, _, errors = invoke("scripts.release", *arguments)
    assert status == 2
    assert message in errors
