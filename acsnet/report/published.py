"""Published results of networks of the zoo, and the rule by which a run is compared with them.

The results are in ``published.yaml``. A published method belongs to a run if the configuration of the run agrees with
it in:

- model: ``model.name`` is the network of the publication, and of ``two_networks`` its argument ``network``;
- tasks: ``model.tasks`` are the tasks that the publication trained jointly;
- oversampling: ``data.oversample`` is as in the publication;
- refinement: the directions of ``evaluation.refining`` are those of the publication;
- the rest of ``evaluation`` is the default: neither test-time augmentation, postprocessing nor another threshold.

Any other run, for example with another direction of refinement, has no published results. They are shown only next to
values that are counted in the same way: ``metrics.json`` has them with ``evaluation.published_metrics``. Data, split,
input size and training of a run may differ from the publication: published results are for orientation, and are never
tested against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from acsnet.config import Config, EvaluationConfig
from acsnet.labels import TASKS
from acsnet.report.tested_networks import Network

TWO_NETWORKS = "two_networks"
_DIRECTIONS = ("empty_mask_for_normal", "normal_for_empty_mask")
_IGNORED = {"refining", "batch_size", "published_metrics"}
_DEFAULT_EVALUATION = EvaluationConfig().model_dump(mode="json", exclude=_IGNORED)


@dataclass(frozen=True)
class Publication:
    """A publication with results.

    Attributes:
        key: the short name for tables.
        metrics: its key in :data:`acsnet.metrics.published.PUBLISHED_METRICS`, which says how the results are counted.
        citation: the full citation.
        setting: the data and split of the results.
        columns: the title of each column, in the publication's order, by the name of the metric.
    """

    key: str
    metrics: str
    citation: str
    setting: str
    columns: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class Published:
    """The published results of one method.

    Attributes:
        publication: the publication.
        method: the publication's name of the method.
        values: the reported values by the names of the publication's columns.
        deviations: the reported standard deviations over folds, likewise.
    """

    publication: Publication
    method: str
    values: Mapping[str, float]
    deviations: Mapping[str, float]


@dataclass(frozen=True)
class Method:
    """The properties that a run must have to be compared with a published method.

    Attributes:
        model: name of the network.
        network: the network of which ``two_networks`` has one per task, otherwise "".
        tasks: tasks of the network.
        oversample: the rule of oversampling, or "".
        refining: the directions of refinement that are on.
    """

    model: str
    network: str
    tasks: frozenset[str]
    oversample: str
    refining: frozenset[str]


@cache
def read_published() -> Mapping[Method, Published]:
    """Return the published results of every method."""
    results = {}
    for entry in yaml.safe_load(files("acsnet.report").joinpath("published.yaml").read_text(encoding="utf-8")):
        publication = Publication(*(entry[key] for key in ("key", "metrics", "citation", "setting", "columns")))
        for row in entry["methods"]:
            method = Method(
                row["model"],
                row.get("network", ""),
                frozenset(row.get("tasks", TASKS)),
                row.get("oversample", ""),
                frozenset(row.get("refining", ())),
            )
            values = dict(zip(publication.columns, row["values"], strict=True))
            known = {column: value for column, value in values.items() if value is not None}
            results[method] = Published(publication, row["name"], known, row.get("deviations", {}))
    return results


def find_published(network: Network) -> Published | None:
    """Return the published results that a network is compared with, or None; see the module for the rule."""
    return None if network.config is None else find_method(network.config, network.evaluation)


def find_method(config: Config, evaluation: Mapping[str, Any]) -> Published | None:
    """Return the published results of a configuration, or None; see the module for the rule.

    Args:
        config: the configuration of a training.
        evaluation: the section ``evaluation`` of a test, as JSON.
    """
    refining = evaluation.get("refining") or {}
    if any(evaluation.get(key, value) != value for key, value in _DEFAULT_EVALUATION.items()):
        return None
    method = Method(
        config.model.name,
        str(config.model.arguments.get("network", "")) if config.model.name == TWO_NETWORKS else "",
        frozenset(config.model.tasks),
        str(config.data.oversample or ""),
        frozenset(key for key in _DIRECTIONS if refining.get(key)),
    )
    return read_published().get(method)
