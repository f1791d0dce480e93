"""Networks to report: made-up results, and a small cross-validation that was really trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from acsnet.report import Network, read_networks
from acsnet.statistics import compare
from acsnet.statistics.compare import Comparison

NetworkMaker = Callable[..., list[Network]]
SKILLS = {"unet": 0.5, "acsnet": 3.0, "unetpp": 0.6}


@pytest.fixture(scope="session")
def folders(write_run: Callable[..., Path]) -> list[Path]:
    """The results of three networks on two folds."""
    return [
        write_run(name, fold=fold, seed=10 * fold + order, skill=skill)
        for order, (name, skill) in enumerate(SKILLS.items())
        for fold in (0, 1)
    ]


@pytest.fixture(scope="session")
def networks(folders: list[Path]) -> list[Network]:
    """The same, read."""
    return read_networks([*map(str, folders)])[0]


@pytest.fixture(scope="session")
def comparison(networks: list[Network]) -> Comparison:
    """The three networks compared, every pair tested."""
    return compare([run for network in networks for run in network.runs], resamples=200)


@pytest.fixture
def make_networks(write_run: Callable[..., Path]) -> NetworkMaker:
    """Read made-up networks: ``make_networks({"unet": {"skill": 2}})``, the arguments being those of ``write_run``."""

    def make(about: dict[str, dict[str, Any]]) -> list[Network]:
        return read_networks([f"{name}={write_run(**{'name': name, **own})}" for name, own in about.items()])[0]

    return make


@pytest.fixture(scope="session")
def cross_validation(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> Path:
    """Two configurations on two folds; the second one shares the trainings of the first.

    The measured time is replaced by a known value, and the saved predictions by the truth.
    """
    from acsnet._utils.files import write_json, write_png
    from acsnet.config import build_config
    from acsnet.data import load_records
    from acsnet.experiments import CrossValidation
    from acsnet.inference.saved_predictions import mask_path

    folder = tmp_path_factory.mktemp("crossval") / "cv"
    short = ["data.folds={count: 2, validation: 0.34}", "training.epochs=2"]
    refining = "evaluation.refining={empty_mask_for_normal: true, normal_for_empty_mask: true}"
    configs = {
        "plain": build_config(tiny_settings, short, "plain"),
        "refined": build_config(tiny_settings, [*short, refining], "refined"),
    }
    assert CrossValidation(folder, configs, progress=False).run() == {}
    records = {record.name: record for record in load_records(configs["plain"].data, progress=False)}
    for own in folder.glob("*/fold?/test"):
        facts = json.loads((own / "metrics.json").read_text(encoding="utf-8"))
        write_json(own / "metrics.json", {**facts, "parameters": 1_234_567, "seconds_per_image": 0.0125})
        for name, record in records.items():
            if mask_path(own, record.dataset, name).is_file():
                mask = cv2.imread(str(record.masks[0]), cv2.IMREAD_GRAYSCALE)
                assert mask is not None
                write_png(mask_path(own, record.dataset, name), mask)
    return folder
