import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acsnet.errors import RunError
from acsnet.report import Network, read_networks

FolderMaker = Callable[..., Path]


def test_runs_of_one_model_are_folds_of_it(networks: list[Network]) -> None:
    assert [(network.name, len(network.runs)) for network in networks] == [("unet", 2), ("acsnet", 2), ("unetpp", 2)]
    first = networks[0]
    assert len(first.result.images) == 60
    assert first.result.images[:30] == first.runs[0].images
    assert [training.folder for training in first.trainings] == [None, None]
    assert first.config is None
    assert first.evaluation == {}


def test_a_cross_validation(cross_validation: Path) -> None:
    networks, problems = read_networks([str(cross_validation)])
    assert problems == []
    assert [(network.name, len(network.runs)) for network in networks] == [("plain", 2), ("refined", 2)]
    plain, refined = networks
    assert [training.folder for training in refined.trainings] == [
        cross_validation / "plain" / "fold0",
        cross_validation / "plain" / "fold1",
    ]
    assert plain.evaluation["refining"] == {"empty_mask_for_normal": False, "normal_for_empty_mask": False}
    assert refined.evaluation["refining"] == {"empty_mask_for_normal": True, "normal_for_empty_mask": True}
    assert refined.config is not None
    assert refined.config.evaluation.refining.empty_mask_for_normal


def test_evaluation_settings_are_those_of_the_test_or_the_configuration(
    write_run: FolderMaker, trained_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    shutil.copytree(write_run("acsnet"), run / "test")
    ((network,), _) = read_networks([str(run)])
    assert network.evaluation["threshold"] == 0.5
    facts = json.loads((run / "test" / "metrics.json").read_text())
    (run / "test" / "metrics.json").write_text(json.dumps({**facts, "evaluation": {"threshold": 0.3}}))
    ((network,), _) = read_networks([str(run)])
    assert network.evaluation == {"threshold": 0.3}


def test_names_separate_runs_of_one_model(write_run: FolderMaker) -> None:
    one, other = write_run("unet"), write_run("unet", seed=1)
    networks, _ = read_networks([f"a={one}", f"b={other}"])
    assert [network.name for network in networks] == ["a", "b"]


def test_two_tests_of_the_same_images_have_to_be_named(write_run: FolderMaker) -> None:
    one, other = write_run("unet"), write_run("unet", seed=1)
    with pytest.raises(RunError) as caught:
        read_networks([str(one), str(other)])
    assert str(caught.value) == (
        f"{one} and {other} are both of the network unet, but not its folds (they were tested on the same "
        f"images): name them, as in NAME={other}"
    )


def test_folds_of_different_configurations_have_to_be_named(
    write_run: FolderMaker, trained_run: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / f"run{fold}" for fold in (0, 1)]
    for fold, run in enumerate(runs):
        shutil.copytree(trained_run, run)
        shutil.copytree(write_run("acsnet", fold=fold), run / "test")
    text = (runs[1] / "config.yaml").read_text()
    (runs[1] / "config.yaml").write_text(text.replace("index: 0", "index: 1"))
    ((network,), _) = read_networks([*map(str, runs)])
    assert len(network.runs) == 2
    (runs[1] / "config.yaml").write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.002"))
    with pytest.raises(RunError, match=r"but not its folds \(optimizer.learning_rate \(0.001 -> 0.002\)\)"):
        read_networks([*map(str, runs)])


def test_missing_folders_are_reported_and_the_others_read(write_run: FolderMaker, trained_run: Path) -> None:
    networks, problems = read_networks([str(write_run()), str(trained_run), "nowhere"])
    assert [network.name for network in networks] == ["unet"]
    assert problems[0].startswith("there is no folder nowhere")
    assert problems[1].startswith(f"there is no {trained_run / 'test' / 'metrics.json'}: test the checkpoint again")


def test_a_network_with_a_missing_fold_is_left_out(write_run: FolderMaker) -> None:
    runs = [write_run("unet", fold=0), write_run("unet", fold=1), write_run("acsnet", fold=1)]
    networks, (problem,) = read_networks([*map(str, runs)])
    assert [network.name for network in networks] == ["unet"]
    assert problem == "acsnet was not tested on 1 of 2 splits (split0): it is left out"


def test_networks_without_a_common_split_are_left_to_the_comparison(write_run: FolderMaker) -> None:
    networks, problems = read_networks([str(write_run("unet", fold=0)), str(write_run("acsnet", fold=1))])
    assert [network.name for network in networks] == ["unet", "acsnet"]
    assert problems == []


def test_without_usable_runs_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run can be used: there is no folder .*nowhere: pass a run folder"):
        read_networks([str(tmp_path / "nowhere")])
    with pytest.raises(RunError, match="no run can be used: no folder was passed"):
        read_networks([])
