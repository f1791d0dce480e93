import csv
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml

from acsnet import load_model
from acsnet._utils.files import WriteError
from acsnet.checkpoints import read_metadata, read_weights, rewrite_metadata
from acsnet.config import Config, build_config
from acsnet.data import load_records
from acsnet.errors import DataError, RunError
from acsnet.experiments import CrossValidation
from acsnet.experiments.crossval import _ensemble_metadata

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, configs: dict[str, Config]) -> Path:
    """The folder of a cross-validation that has run. Read-only."""
    folder = tmp_path_factory.mktemp("crossval") / "run"
    assert CrossValidation(folder, configs, heartbeat=5, progress=False).run() == {}
    return folder


def read_cases(folder: Path) -> list[dict[str, str]]:
    with (folder / "cases.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["plain", "refined", "alone"])
def test_every_image_is_predicted_once_by_a_network_that_has_not_seen_it(
    finished: Path, configs: dict[str, Config], name: str
) -> None:
    cases = [case for fold in range(2) for case in read_cases(finished / name / f"fold{fold}" / "test")]
    names = [record.name for record in load_records(configs["plain"].data, progress=False)]
    assert sorted(case["image"] for case in cases) == sorted(names)
    for fold in range(2):
        facts = json.loads((finished / name / f"fold{fold}" / "test" / "metrics.json").read_text())
        training = "alone" if name == "alone" else "plain"
        metadata = read_metadata(finished / training / f"fold{fold}" / "best.safetensors")
        assert facts["split_hash"] == metadata.split_hash
        assert facts["folds"]["index"] == fold


def test_trainings_are_shared(finished: Path) -> None:
    assert (finished / "plain" / "fold0" / "last.pt").is_file()
    assert sorted(path.name for path in (finished / "refined" / "fold0").iterdir()) == ["test"]
    plain, refined = (
        json.loads((finished / name / "fold1" / "test" / "metrics.json").read_text()) for name in ("plain", "refined")
    )
    assert plain["checkpoint_sha256"] == refined["checkpoint_sha256"]
    assert plain["evaluation"] != refined["evaluation"]


def test_predictions_are_kept(finished: Path) -> None:
    folder = finished / "plain" / "fold0" / "test"
    cases = read_cases(folder)
    assert len(list((folder / "masks").rglob("*.png"))) == len(cases)
    assert len(list((folder / "probabilities").rglob("*.png"))) == len(cases)


def test_the_folds_are_one_model(finished: Path) -> None:
    ensemble = load_model(finished / "refined" / "ensemble.safetensors")
    images = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        folds = [load_model(finished / "plain" / f"fold{fold}" / "best.safetensors")(images) for fold in range(2)]
        label = ensemble(images).label
    torch.testing.assert_close(label.softmax(1), torch.stack([f.label.softmax(1) for f in folds]).mean(0))
    metadata = read_metadata(finished / "refined" / "ensemble.safetensors")
    assert "not the ensemble" in metadata.metrics["protocol"]
    tests = [json.loads((finished / "refined" / f"fold{k}" / "test" / "metrics.json").read_text()) for k in range(2)]
    accuracy = sum(test["classification"]["accuracy"] for test in tests) / 2
    assert metadata.metrics["classification.accuracy"] == pytest.approx(accuracy)
    assert metadata.config["evaluation"]["refining"]["empty_mask_for_normal"]


def test_the_ensemble_predicts(finished: Path, phantom_root: Path, tmp_path: Path, invoke: Any) -> None:
    image = phantom_root / "malignant" / "malignant (1).png"
    checkpoint = finished / "plain" / "ensemble.safetensors"
    status, output, errors = invoke("predict", "--checkpoint", checkpoint, image, "--out", tmp_path)
    assert (status, errors.startswith("error")) == (0, False), errors
    assert "predictions.csv" in output


def test_the_ensembles_threshold_is_the_mean_of_those_chosen(
    tmp_path: Path, configs: dict[str, Config], small: dict[str, Any]
) -> None:
    chosen = build_config(small, ["evaluation.threshold=validation", "training.epochs=1"], "chosen")
    assert CrossValidation(tmp_path / "run", {"chosen": chosen}, progress=False).run() == {}
    tests = [json.loads((tmp_path / f"run/chosen/fold{k}/test/metrics.json").read_text()) for k in range(2)]
    assert [test["threshold_source"] for test in tests] == ["validation subset"] * 2
    mean = sum(test["threshold"] for test in tests) / 2
    assert read_metadata(tmp_path / "run/chosen/ensemble.safetensors").evaluation.threshold == pytest.approx(mean)


def test_an_ensemble_tested_on_its_own_images_is_pointed_out(
    finished: Path, tmp_path: Path, invoke: Any, phantom_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    call = ["test", "--checkpoint", finished / "plain" / "ensemble.safetensors", "--out", tmp_path / "out"]
    status, _, errors = invoke(*call, "--set", f"data.root={phantom_root}", "--set", "data.split=all")
    assert status == 0, errors
    assert "members of the ensemble were trained on every image of this dataset" in caplog.text


def test_metrics_of_publications_are_averaged_over_folds(tmp_path: Path, small: dict[str, Any]) -> None:
    overrides = ["training.epochs=1", "evaluation.published_metrics=[chung2024, aumente2025]"]
    crossval = CrossValidation(tmp_path / "run", {"own": build_config(small, overrides, "own")}, progress=False)
    assert crossval.run() == {}
    folds = [
        json.loads((tmp_path / f"run/own/fold{fold}/test/metrics.json").read_text())["published"] for fold in (0, 1)
    ]
    written = json.loads((tmp_path / "run/own/published.json").read_text())
    assert [*written] == ["chung2024", "aumente2025"]
    for publication, metrics in written.items():
        assert {*metrics} == {*folds[0][publication]}
        for name, summary in metrics.items():
            values = [fold[publication][name] for fold in folds]
            assert summary["mean"] == pytest.approx(sum(values) / 2)
            assert summary["deviation"] == pytest.approx(abs(values[0] - values[1]) / 2)
            assert summary["folds"] == 2
    dice = written["chung2024"]["dice"]
    table = crossval.table()
    assert "as counted by chung2024, over folds" in table
    assert f"{dice['mean']:.3f} ± {dice['deviation']:.3f}" in table


def test_without_publications_there_are_no_averages_of_them(finished: Path, configs: dict[str, Config]) -> None:
    assert not [*finished.rglob("published.json")]
    assert "as counted by" not in CrossValidation(finished, configs, progress=False).table()


def test_configurations_selected_on_the_test_subset_are_compared_separately(
    finished: Path, configs: dict[str, Config], tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    for path in (tmp_path / "run" / "refined").rglob("metrics.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "selection": "selected on the test subset"}))
    table = CrossValidation(tmp_path / "run", configs, progress=False).table()
    assert "plain - refined" not in table
    assert "plain - alone" in table
    assert "refined: selected on the test subset, which makes the metrics too good" in table


@pytest.mark.parametrize(
    ("selected_on", "said"), [("test", "that selected its epoch"), ("validation", "it has not seen")]
)
def test_an_ensemble_says_whether_its_folds_saw_the_tested_images(
    selected_on: str, said: str, finished: Path, configs: dict[str, Config], tmp_path: Path
) -> None:
    folds = [finished / "plain" / f"fold{fold}" for fold in range(2)]
    member = tmp_path / "member.safetensors"
    metadata = read_metadata(folds[0] / "best.safetensors").model_copy(update={"selected_on": selected_on})
    rewrite_metadata(folds[0] / "best.safetensors", member, metadata)
    metrics, _ = _ensemble_metadata(member, [fold / "test" for fold in folds], configs["plain"])
    assert metrics["protocol"] == f"mean over 2 folds, each tested on images {said}; not the ensemble"


def test_again_there_is_nothing_to_do(finished: Path, configs: dict[str, Config]) -> None:
    times = {path: path.stat().st_mtime_ns for path in finished.rglob("best.safetensors")}
    times |= {path: path.stat().st_mtime_ns for path in finished.rglob("metrics.json")}
    assert CrossValidation(finished, configs, progress=False).run() == {}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def remove_folder(path: Path) -> None:
    shutil.rmtree(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "path", "redone"),
    [
        (remove_folder, "plain/fold0", {"plain/fold0", "refined/fold0"}),
        (remove_folder, "plain/fold1/test", {"plain/fold1", "refined/fold1"}),
        (remove_folder, "refined/fold1", {"refined/fold1"}),
        (remove_folder, "alone", {"alone/fold0", "alone/fold1"}),
        (Path.unlink, "refined/fold0/test/cases.csv", {"refined/fold0"}),
        (Path.unlink, "alone/fold0/test/metrics.json", {"alone/fold0"}),
        (cut, "alone/fold1/test/cases.csv", {"alone/fold1"}),
        (cut, "refined/fold1/test/metrics.json", {"refined/fold1"}),
    ],
)
def test_what_is_missing_is_found(
    finished: Path,
    configs: dict[str, Config],
    tmp_path: Path,
    damage: Callable[[Path], None],
    path: str,
    redone: set[str],
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    damage(tmp_path / "run" / path)
    crossval = CrossValidation(tmp_path / "run", configs, progress=False)
    every = {f"{name}/fold{fold}" for name in configs for fold in range(2)}
    assert crossval._queue.done() == every - redone


def test_what_is_missing_is_done_again(
    finished: Path, configs: dict[str, Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    ensemble = (folder / "plain" / "ensemble.safetensors").stat().st_mtime_ns
    alone = (folder / "alone" / "ensemble.safetensors").stat().st_mtime_ns
    shutil.rmtree(folder / "plain" / "fold0")
    caplog.set_level("INFO", "acsnet")
    assert CrossValidation(folder, configs, progress=False).run() == {}
    assert "files are missing or broken, so these jobs are done again: plain/fold0, refined/fold0" in caplog.messages
    for path in ("plain/fold0/best.safetensors", "plain/fold0/test/cases.csv", "refined/fold0/test/metrics.json"):
        assert (folder / path).read_bytes()[:100] == (finished / path).read_bytes()[:100]
    assert read_weights(folder / "plain/fold0/best.safetensors").keys()
    assert (folder / "plain" / "ensemble.safetensors").stat().st_mtime_ns > ensemble
    assert (folder / "alone" / "ensemble.safetensors").stat().st_mtime_ns == alone
    caplog.clear()
    assert CrossValidation(folder, configs, progress=False).run() == {}
    assert not caplog.messages, "nothing is left to do"


def test_a_network_that_was_replaced_is_tested_again(
    finished: Path, configs: dict[str, Config], tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    folds = [tmp_path / "run" / "alone" / f"fold{fold}" / "best.safetensors" for fold in range(2)]
    folds[0].write_bytes(folds[1].read_bytes())
    crossval = CrossValidation(tmp_path / "run", configs, progress=False)
    assert "alone/fold0" not in crossval._queue.done()


def test_a_fold_that_cannot_be_resumed_says_what_to_remove(
    finished: Path, configs: dict[str, Config], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "alone" / "fold0" / "last.pt").unlink()
    (folder / "alone" / "fold0" / "test" / "cases.csv").unlink()
    (folder / "alone" / "fold1" / "config.yaml").unlink()
    shutil.rmtree(folder / "alone" / "fold1" / "test")
    failures = CrossValidation(folder, configs, progress=False).run()
    assert failures["alone/fold0"].endswith(
        f"; or remove {folder}/alone/fold0, and run the same command to train it again"
    )
    assert "last.pt is missing although" in failures["alone/fold0"]
    assert "has files but no config.yaml, so it is not a run: choose another" in failures["alone/fold1"]


def test_folds_are_trained_on_the_same_images(
    tmp_path: Path, small: dict[str, Any], phantom_root: Path, configs: dict[str, Config]
) -> None:
    """The masks were replaced between two folds; the split, and so its hash, is the same."""
    shutil.copytree(phantom_root, tmp_path / "set")
    config = build_config(small, [f"data.root={tmp_path / 'set'}", "training.epochs=1"], "alone")
    crossval = CrossValidation(tmp_path / "run", {"alone": config}, progress=False)
    environment = tmp_path / "run" / "alone" / "fold1" / "environment.json"
    environment.parent.mkdir(parents=True)
    environment.write_text(json.dumps({"mask_hash": "of other masks"}))
    failures = crossval.run()
    assert failures["alone/fold0"] == (
        f"the images or masks differ from those of {tmp_path / 'run' / 'alone' / 'fold1'}, so the two cannot be "
        "compared: restore the images, or start again in another folder by --work-dir"
    )
    assert not (tmp_path / "run" / "alone" / "fold0").exists()


# --- folders that were half made -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left", [[], ["queue.sqlite3"], ["queue.sqlite3", "queue.sqlite3-journal"], [".plan.lock", ".crossval.1.tmp.json"]]
)
def test_a_folder_without_a_plan_is_started_again(tmp_path: Path, configs: dict[str, Config], left: list[str]) -> None:
    for name in left:
        (tmp_path / name).touch()
    crossval = CrossValidation(tmp_path, {"alone": configs["alone"]}, progress=False)
    assert crossval._queue.done() == set()
    assert (tmp_path / "crossval.json").is_file()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_is_full_when_the_plan_is_written(
    tmp_path: Path, configs: dict[str, Config], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The same command starts again; the database of the first attempt is there."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WriteError, match=r"crossval\.json could not be written"):
        CrossValidation(tmp_path / "run", {"alone": configs["alone"]}, progress=False)
    monkeypatch.undo()
    assert (tmp_path / "run" / "queue.sqlite3").is_file()
    CrossValidation(tmp_path / "run", {"alone": configs["alone"]}, progress=False)


def test_folders_that_cannot_be_made_are_one_clear_line(tmp_path: Path, configs: dict[str, Config]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(WriteError, match=r"file/run could not be written \(Not a directory\): choose another folder"):
        CrossValidation(tmp_path / "file" / "run", configs, progress=False)
    with pytest.raises(RunError, match=r"link is a link to nowhere, which does not exist: create that folder, or"):
        CrossValidation(tmp_path / "link", configs, progress=False)


def test_the_table_names_the_configurations(finished: Path, configs: dict[str, Config]) -> None:
    table = CrossValidation(finished, configs, progress=False).table()
    assert "plain - refined" in table
    assert "alone predicts no classes" in table


def test_data_that_cannot_be_trained_on_is_found_before_anything_is_written(
    tmp_path: Path, small: dict[str, Any]
) -> None:
    config = build_config(small, ["data.classes=[benign, malignant, normal, cyst]"], "cysts")
    with pytest.raises(DataError, match="no training image of class cyst"):
        CrossValidation(tmp_path / "run", {"cysts": config}, progress=False)
    assert not [path for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path, configs: dict[str, Config]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file is a file: choose a folder by --work-dir"):
        CrossValidation(tmp_path / "file", configs)


def test_a_failed_fold_is_reported_and_the_rest_is_done(
    tmp_path: Path, configs: dict[str, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acsnet.training import Trainer

    fit = Trainer.fit

    def fail_in_fold_1(trainer: Trainer, on_epoch: Any = None) -> Path:
        if trainer.config.data.folds.index == 1:
            raise RunError("the loss became nan in epoch 1, step 1")
        return fit(trainer, on_epoch)

    monkeypatch.setattr(Trainer, "fit", fail_in_fold_1)
    crossval = CrossValidation(tmp_path / "run", {"plain": configs["plain"], "alone": configs["alone"]}, progress=False)
    assert crossval.run() == dict.fromkeys(["plain/fold1", "alone/fold1"], "the loss became nan in epoch 1, step 1")
    assert (tmp_path / "run" / "alone" / "fold0" / "test" / "metrics.json").is_file()
    assert not (tmp_path / "run" / "plain" / "ensemble.safetensors").exists()
    monkeypatch.undo()
    again = CrossValidation(tmp_path / "run", {"plain": configs["plain"]}, progress=False)
    assert again.run() == {}, "both configurations, although one was named: the plan belongs to the folder"
    assert (tmp_path / "run" / "alone" / "ensemble.safetensors").is_file()


@pytest.mark.slow
def test_trainings_killed_at_random_end_as_if_undisturbed(
    tmp_path: Path, configs: dict[str, Config], small: dict[str, Any]
) -> None:
    """Real workers are killed and replaced: the weights are those of an undisturbed run, bit for bit."""
    epochs = ["training.epochs=12"]
    quiet = {name: build_config(config.to_dict(), epochs, name) for name, config in configs.items()}
    assert CrossValidation(tmp_path / "quiet", quiet, progress=False).run() == {}
    files = []
    for name, config in quiet.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(config.to_dict()))
    command = [sys.executable, "tools/crossval.py", *map(str, files), "--work-dir", str(tmp_path / "run")]
    chance = random.Random(1)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--heartbeat", "1"],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    workers = [start(), start()]
    for _ in range(5):
        started_at = time.monotonic()
        # A worker takes a while to start; then it is killed at a random time.
        while not list((tmp_path / "run").rglob("history.csv")) or time.monotonic() - started_at < 4:
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 5))
        victim = workers.pop(chance.randrange(len(workers)))
        victim.kill()
        victim.wait()
        workers.append(start())
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    database = f"sqlite:///{tmp_path}/run/queue.sqlite3"
    study = json.loads((tmp_path / "run" / "crossval.json").read_text())["study"]
    trials = optuna.load_study(study_name=study, storage=database).trials
    done = [trial.user_attrs["job"] for trial in trials if trial.state.name == "COMPLETE"]
    assert sorted(done) == sorted(f"{name}/fold{fold}" for name in configs for fold in range(2))
    for fold in range(2):
        for name in ("plain", "alone"):
            pair = [
                read_weights(tmp_path / run / name / f"fold{fold}" / "best.safetensors") for run in ("quiet", "run")
            ]
            assert all(torch.equal(pair[0][key], pair[1][key]) for key in pair[0]), f"{name}/fold{fold}"
        for name in configs:
            rows = [read_cases(tmp_path / run / name / f"fold{fold}" / "test") for run in ("quiet", "run")]
            assert rows[0] == rows[1]
