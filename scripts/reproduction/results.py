"""Results of trainings by the protocols of publications, in ``results.json``."""

import csv
import json
from pathlib import Path
from typing import Any

from acsnet.config import load_config
from acsnet.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")


def read_results() -> dict[str, dict[str, Any]]:
    """Return the results by configuration, such as ``aumente2025/mt_pr_do``."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def add_result(config: Path, run: Path) -> None:
    """Add the test of a run to the results.

    Args:
        config: configuration in ``configs/published/``.
        run: run folder of a training by this configuration; it has ``test/metrics.json``, the result of
            ``acsnet test``.

    Raises:
        RunError: if the run has no test, or if the test lacks the metrics of the publication.
    """
    path = run / "test" / "metrics.json"
    if not path.is_file():
        raise RunError(f"there is no {path}: run acsnet test --checkpoint {run / 'best.safetensors'}")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    publication = config.parent.name
    if publication not in metrics.get("published", {}):
        raise RunError(
            f"{path} has no metrics of {publication}: test again with "
            f"--set evaluation.published_metrics=[{publication}]"
        )
    published, used = load_config(config), load_config(run / "config.yaml")
    with (run / "history.csv").open(encoding="utf-8") as file:
        epochs = len(list(csv.DictReader(file)))
    with (run / "split.csv").open(encoding="utf-8") as file:
        trained = sum(row["subset"] == "train" for row in csv.DictReader(file))
    segmentation, classification = metrics["segmentation"] or {}, metrics["classification"] or {}
    results = read_results()
    results[f"{publication}/{config.stem}"] = {
        "epochs": epochs,
        "published_epochs": published.training.epochs,
        # What the machine could do, if it is not what the publication did.
        "precision": used.training.precision,
        "fold": None if used.data.folds.test else used.data.folds.index,
        "train_images": trained,
        "test_images": metrics["n"],
        "split_hash": metrics["split_hash"],
        "published": metrics["published"][publication],
        "ours": {
            "lesion_dice": (segmentation.get("lesion") or {}).get("dice"),
            "dice": segmentation.get("dice"),
            "accuracy": classification.get("accuracy"),
            "f1_macro": classification.get("f1_macro"),
        },
    }
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
