"""Published results of networks of the zoo, and the rule by which a run is compared with them.

The results are in ``published.yaml``. A published method belongs to a run if the configuration of the run agrees with
it in:

- model: ``model.name`` is the network of the publication;
- tasks: ``model.tasks`` are the tasks that the publication trained jointly;
- oversampling: ``data.oversample`` is as in the publication;
- refinement: both directions of ``evaluation.refining`` or neither, as in the publication;
- the rest of ``evaluation`` is the default: neither test-time augmentation, postprocessing nor another threshold.

Any other run, for example with one direction of refinement, has no published results. Data, split, input size and
training of a run differ from the publication: published results are for orientation, and are never tested against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import yaml

from acsnet.config import EvaluationConfig
from acsnet.report.tested_networks import Network
from acsnet.statistics import METRICS

# The F1 of the pixels, which is the Dice of a single mask.
PIXEL_F1 = "pixel_f1"
_BOTH_TASKS = ("segmentation", "classification")
_DEFAULT_EVALUATION = EvaluationConfig().model_dump(mode="json", exclude={"refining", "batch_size"})


@dataclass(frozen=True)
class Publication:
    """A publication with results.

    Attributes:
        key: the short name for tables.
        citation: the full citation.
        setting: the data and split of the results.
        columns: the title of each column, in the publication's order, by the metric that it is compared with: a name
            of :data:`~acsnet.statistics.METRICS`, or :data:`PIXEL_F1`.
    """

    key: str
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
    """

    publication: Publication
    method: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Method:
    """The properties that a run must have to be compared with a published method."""

    model: str
    tasks: frozenset[str]
    oversample: bool
    refining: bool


@cache
def read_published() -> Mapping[Method, Published]:
    """Return the published results of every method."""
    results = {}
    for entry in yaml.safe_load(files("acsnet.report").joinpath("published.yaml").read_text(encoding="utf-8")):
        publication = Publication(entry["key"], entry["citation"], entry["setting"], entry["columns"])
        for row in entry["methods"]:
            tasks = frozenset(row.get("tasks", _BOTH_TASKS))
            method = Method(row["model"], tasks, row.get("oversample", False), row.get("refining", False))
            values = dict(zip(publication.columns, row["values"], strict=True))
            known = {column: value for column, value in values.items() if value is not None}
            results[method] = Published(publication, row["name"], known)
    return results


def find_published(network: Network) -> Published | None:
    """Return the published results that a network is compared with, or None; see the module for the rule."""
    config, refining = network.config, network.evaluation.get("refining") or {}
    directions = {bool(refining.get(key)) for key in ("empty_mask_for_normal", "normal_for_empty_mask")}
    has_options = any(network.evaluation.get(key, value) != value for key, value in _DEFAULT_EVALUATION.items())
    if config is None or len(directions) != 1 or has_options:
        return None
    method = Method(config.model.name, frozenset(config.model.tasks), config.data.oversample, directions.pop())
    return read_published().get(method)


def compared_metric(column: str) -> str:
    """Return the name in METRICS of the metric that a published column is compared with."""
    return column if column in METRICS else "dice"
