import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet._utils.files import write_csv
from acsnet.errors import AcsnetError, DataError, RunError
from acsnet.inference import Predictor, predict_files
from acsnet.inference.output_folder import check_output, remove_earlier

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def best(trained_run: Path) -> Path:
    return trained_run / "best.safetensors"


def images(phantom_root: Path, *numbers: int) -> list[Path]:
    return [phantom_root / "benign" / f"benign ({number}).png" for number in numbers]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- prediction ------------------------------------------------------------------------------------------------------


def test_a_used_folder_of_predictions(best: Path, phantom_root: Path, tmp_path: Path, invoke: Invoke) -> None:
    out = tmp_path / "out"
    given = ("predict", "--checkpoint", best, "--out", out)
    assert invoke(*given, "--explain", *images(phantom_root, 1, 2))[0] == 0
    before = {name: (out / name).read_bytes() for name in files(out)}
    status, output, error = invoke(*given, *images(phantom_root, 3))
    assert (status, output) == (2, "")
    assert error == (
        f"error: {out} already holds predictions.csv, lesions.csv, masks/, overlays/, explanations/ of an earlier "
        "prediction: choose another folder by --out, or pass --overwrite, which removes them\n"
    )
    assert {name: (out / name).read_bytes() for name in files(out)} == before

    # Found before the checkpoint is opened.
    assert f"{out} already holds" in invoke("predict", "--checkpoint", "none.safetensors", "--out", out, out)[2]

    (out / "masks" / "notes.txt").write_text("mine")
    assert invoke(*given, "--overwrite", tmp_path / "none.png")[0] == 2
    assert set(before) < set(files(out)), "nothing is removed for a prediction that does not start"
    assert invoke(*given, "--overwrite", *images(phantom_root, 3))[0] == 0
    assert files(out) == [
        "lesions.csv",
        "masks/benign (3).png",
        "masks/notes.txt",
        "overlays/benign (3).png",
        "predictions.csv",
    ]


def interrupt(folder: Path, predicted: list[Path], names: list[str]) -> None:
    """Leave what an interrupted prediction leaves."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    write_csv(folder / "predictions.unfinished.csv", [{"image": os.fspath(path)} for path in predicted], ["image"])


def test_an_interrupted_prediction_begins_anew(best: Path, phantom_root: Path, tmp_path: Path) -> None:
    interrupt(tmp_path, images(phantom_root, 1), ["masks/benign (1).png", "uncertainty/benign (1).png"])
    predictor = Predictor.from_checkpoint(best)
    predict_files(predictor, images(phantom_root, 1, 2), tmp_path, progress=False)
    done = ["masks/benign (1).png", "masks/benign (2).png", "overlays/benign (1).png", "overlays/benign (2).png"]
    assert files(tmp_path) == ["lesions.csv", *done, "predictions.csv"], (
        "without the uncertainty of the interrupted one"
    )
    pattern = r"already holds predictions\.csv, lesions\.csv, masks/, overlays/ of an earlier prediction"
    with pytest.raises(RunError, match=pattern):
        predict_files(predictor, images(phantom_root, 1, 2), tmp_path, progress=False)


@pytest.mark.parametrize(("count", "said"), [(1, "1 other image:"), (3, "3 other images:")])
def test_finished_images_of_an_interrupted_prediction_are_not_lost(
    tmp_path: Path, phantom_root: Path, count: int, said: str
) -> None:
    interrupt(tmp_path, images(phantom_root, *range(1, count + 2)), ["masks/benign (1).png"])
    check_output(tmp_path, overwrite=False)
    again = images(phantom_root, count + 1, 9)
    with pytest.raises(
        RunError, match=rf"holds an interrupted prediction of {said} choose another folder by --out, name"
    ):
        remove_earlier(tmp_path, again, overwrite=False)
    assert files(tmp_path) == ["masks/benign (1).png", "predictions.unfinished.csv"]
    remove_earlier(tmp_path, again, overwrite=True)
    assert files(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "frame", "link"])
def test_a_result_is_not_removed_as_an_input(tmp_path: Path, kind: str) -> None:
    interrupt(tmp_path, [], ["masks/a.png"])
    image = tmp_path / "masks" / "a.png"
    if kind == "frame":
        image = tmp_path / "masks" / "a.dcm#3"
    elif kind == "link":
        (tmp_path / "b.png").symlink_to(image)
        image = tmp_path / "b.png"
    with pytest.raises(
        DataError, match=r" is itself a result of the prediction in .*, which would be removed: name the"
    ):
        remove_earlier(tmp_path, [image], overwrite=True)
    assert (tmp_path / "masks" / "a.png").exists()


# --- test ------------------------------------------------------------------------------------------------------------


def test_a_used_folder_of_a_test(trained_run: Path, tmp_path: Path, invoke: Invoke) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("best.safetensors", "config.yaml"):
        shutil.copy(trained_run / name, run)
    given = ("test", "--checkpoint", run / "best.safetensors")
    assert invoke(*given, "--save-predictions")[0] == 0
    out = run / "test"
    before = {name: (out / name).read_bytes() for name in files(out)}
    assert any(name.startswith("probabilities/") for name in before)
    status, output, error = invoke(*given)
    assert (status, output) == (2, "")
    assert error == (
        f"error: {out} already holds metrics.json, cases.csv, masks/, probabilities/ of an earlier test: choose "
        "another folder by --out, or pass --overwrite, which removes them\n"
    )
    for broken in ("data.root=/nowhere", "evaluation.thresholds=1"):
        assert invoke(*given, "--overwrite", "--set", broken)[0] == 2
    assert {name: (out / name).read_bytes() for name in files(out)} == before, "a test that fails removes nothing"

    (out / "masks" / "notes.txt").write_text("mine")
    assert invoke(*given, "--overwrite", "--save-predictions")[0] == 0
    assert {name: (out / name).read_bytes() for name in before if name != "metrics.json"} == {
        name: content for name, content in before.items() if name != "metrics.json"
    }
    assert invoke(*given, "--overwrite")[0] == 0
    assert files(out) == ["cases.csv", "masks/notes.txt", "metrics.json"], "no masks of the earlier test"
    assert json.loads((out / "metrics.json").read_text())["predictions_kept"] is False


def test_an_interrupted_test_leaves_the_earlier_one(
    trained_run: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metrics.json", "cases.csv", "masks/set/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    calls = []

    def fail(*arguments: object) -> None:
        calls.append(arguments)
        raise AcsnetError("it failed")

    monkeypatch.setattr(sys.modules["acsnet.evaluation.evaluate"], "_summarize", fail)
    given = ("--checkpoint", trained_run / "best.safetensors", "--out", tmp_path, "--save-predictions", "--overwrite")
    assert invoke("test", *given)[::2] == (2, "error: it failed\n")
    assert calls
    assert files(tmp_path) == ["cases.csv", "masks/set/a.png", "metrics.json"]


@pytest.mark.parametrize(
    ("tool", "there", "kind"),
    [
        ("test", "predictions.csv", "prediction"),
        ("test", "predictions.unfinished.csv", "prediction"),
        ("predict", "cases.csv", "test"),
    ],
)
def test_tests_and_predictions_do_not_mix(
    tool: str, there: str, kind: str, best: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (tmp_path / there).touch()
    inputs = (tmp_path,) if tool == "predict" else ()
    status, _, error = invoke(tool, "--checkpoint", best, "--out", tmp_path, "--overwrite", *inputs)
    assert status == 2
    assert f"{tmp_path} already holds {there} of an earlier {kind}: choose another folder by --out, so that" in error
