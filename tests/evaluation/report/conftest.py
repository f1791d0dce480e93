"""Networks to report: made-up results, and a small cross-validation that was really trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from acsnet.evaluation.report import Network, read_networks
from acsnet.evaluation.statistics import Comparison, compare

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
    """Two configurations on two folds, of which the second shares the trainings of the first; predictions are kept."""
    from acsnet.config import build_config
    from acsnet.data import load_records, split_records
    from acsnet.evaluation import run_test
    from acsnet.evaluation.kept import mask_path
    from acsnet.files import write_json, write_png
    from acsnet.training import Trainer

    folder = tmp_path_factory.mktemp("crossval") / "cv"
    refining = {"refining": {"empty_mask_for_normal": True, "normal_for_empty_mask": True}}
    configurations = {}
    for name, evaluation in (("plain", {}), ("refined", refining)):
        for fold in (0, 1):
            settings = {
                **tiny_settings,
                "data": {**tiny_settings["data"], "folds": {"count": 2, "index": fold, "validation": 0.34}},
                "training": {"epochs": 2, "batch_size": 4},
                "evaluation": evaluation,
            }
            config = build_config(yaml.safe_load(yaml.safe_dump(settings)), [], "the test")
            run = folder / "plain" / f"fold{fold}"
            if name == "plain":
                Trainer(config, run, progress=False).fit()
            result, provenance = run_test(run / "best.safetensors", config, progress=False)
            own = folder / name / f"fold{fold}" / "test"
            about = {
                "checkpoint_sha256": f"weights of fold {fold}",
                "evaluation": config.evaluation.model_dump(mode="json"),
                "threshold_source": "configuration",
                "parameters": 1_234_567,
                "seconds_per_image": 0.0125,
            }
            result.write(own, {**provenance, **about})
            for record in split_records(load_records(config.data, progress=False), config.data.folds).test:
                mask = cv2.imread(str(record.masks[0]), cv2.IMREAD_GRAYSCALE)
                assert mask is not None
                write_png(mask_path(own, record.dataset, record.name), mask)
        configurations[name] = {"training": "plain", "config": config.to_dict()}
    write_json(folder / "crossval.json", {"format": 1, "study": "tiny", "folds": 2, "configurations": configurations})
    return folder
