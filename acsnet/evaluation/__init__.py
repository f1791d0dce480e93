"""Testing of trained networks on datasets under one protocol."""

from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.metric_table import metric_table
from acsnet.evaluation.protocol import default_out, resolve_test_config, run_test

__all__ = ["Evaluation", "default_out", "evaluate", "metric_table", "resolve_test_config", "run_test"]
