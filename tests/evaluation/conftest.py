"""Results of tests as ``tools/test.py`` writes them, of made-up networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acsnet.evaluation.evaluate import Evaluation
from acsnet.evaluation.statistics import RunResult, read_run
from acsnet.metrics import classification_metrics, overall_score, segmentation_metrics, summarise_segmentation

CLASSES = ("benign", "malignant", "normal")
# What a test writes of each image; made up below are those that are compared.
MEASURED = segmentation_metrics(np.ones((2, 2), np.bool_), np.ones((2, 2), np.bool_))
RunMaker = Callable[..., RunResult]


def _cases(labels: Sequence[str], names: Sequence[str], seed: int, skill: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for name, label in zip(names, labels, strict=True):
        logits = rng.normal(size=len(CLASSES)) + skill * np.eye(len(CLASSES))[CLASSES.index(label)]
        probabilities = np.exp(logits) / np.exp(logits).sum()
        dice = float(rng.integers(2)) if label == "normal" else float(rng.beta(2 + skill, 2))
        row: dict[str, Any] = {"image": name, "label": label, "predicted": CLASSES[int(probabilities.argmax())]}
        row |= {f"probability_{label}": float(p) for label, p in zip(CLASSES, probabilities, strict=True)}
        distance = None if label == "normal" else 10 * (1 - dice)
        row |= {key: None if np.isnan(value) else value for key, value in MEASURED.items()}
        row |= {"dice": dice, "iou": dice / (2 - dice), "hd95": distance, "assd": distance}
        rows.append({**row, "precision": dice, "recall": dice, "dataset": "busi", "group": ""})
    return rows


def _metrics(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    labels = [row["label"] for row in rows]
    numbers = [{key: np.nan if row[key] is None else row[key] for key in MEASURED} for row in rows]
    summary = summarise_segmentation(numbers, labels)
    overall = summary["all"]
    probabilities = [[row[f"probability_{name}"] for name in CLASSES] for row in rows]
    classification = classification_metrics([CLASSES.index(label) for label in labels], probabilities, CLASSES)
    return {
        "segmentation": {**overall, **{key: value for key, value in summary.items() if key != "all"}},
        "classification": classification,
        "overall_score": overall_score(overall["iou"], overall["dice"], overall["dice"], classification["f1_macro"]),
        "n": len(rows),
    }


@pytest.fixture(scope="session")
def write_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write the test of a made-up network: its folder."""

    def write(
        name: str = "unet",
        labels: Sequence[str] = CLASSES * 10,
        fold: int = 0,
        seed: int = 0,
        skill: float = 1.0,
        change: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
        **provenance: Any,
    ) -> Path:
        rows = _cases(labels, [f"fold {fold} ({index}).png" for index in range(len(labels))], seed, skill)
        change(rows)
        folder = tmp_path_factory.mktemp("runs") / f"{name}_{fold}"
        about = {
            "model": name,
            "class_names": list(CLASSES),
            "part": "test",
            "dataset_hash": f"data{fold}",
            "split_hash": f"split{fold}",
        }
        Evaluation(_metrics(rows), rows, 0.1).write(folder, {**about, **provenance})
        return folder

    return write


@pytest.fixture(scope="session")
def make_run(write_run: Callable[..., Path]) -> RunMaker:
    """The result of a made-up network's test, written and read."""

    def make(*args: Any, **kwargs: Any) -> RunResult:
        return read_run(write_run(*args, **kwargs))

    return make
