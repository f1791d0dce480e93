"""The score whose highest value selects the best epoch."""

import math
from collections.abc import Mapping, Sequence

from acsnet._utils.naming import look_up

EPOCH = "epoch"


class SelectionScore:
    """Weighted sum of validation metrics.

    Args:
        weights: weight of each metric, as in ``{"dice": 0.7, "accuracy": 0.3}``. ``epoch`` is the number of the epoch:
            ``{"epoch": 1}`` selects the last one.
        metrics: names of the metrics that validation computes for the tasks of the model.

    Raises:
        UnknownNameError: for a metric that validation does not compute, with near matches.

    Example:
        >>> score = SelectionScore({"dice": 0.75, "loss": -1}, ["dice", "loss"])
        >>> score({"dice": 0.5, "loss": 0.25})
        0.125
    """

    def __init__(self, weights: Mapping[str, float], metrics: Sequence[str]) -> None:
        known = dict.fromkeys((EPOCH, *metrics))
        for name in weights:
            look_up("metric in training.selection", name, known, "")
        self.weights = dict(weights)

    def __call__(self, metrics: Mapping[str, float]) -> float:
        """Compute the score; higher is better. An undefined metric (NaN) gives the lowest score.

        Args:
            metrics: the validation metrics, and ``epoch``.
        """
        score = sum(weight * metrics[name] for name, weight in self.weights.items())
        # No score compares greater than NaN: an undefined first epoch would be the best one forever.
        return -math.inf if math.isnan(score) else float(score)
