"""Testing of trained networks on datasets under one protocol."""

from acsnet._utils.extras import require_extra

require_extra("train", "testing")

from acsnet.evaluation.calibrate import calibrate_checkpoint, check_target, write_calibrated
from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.metric_table import metric_table, operating_point_table
from acsnet.evaluation.operating_points import choose_operating_points
from acsnet.evaluation.protocol import default_out, resolve_test_config, run_test

__all__ = [
    "Evaluation",
    "calibrate_checkpoint",
    "check_target",
    "choose_operating_points",
    "default_out",
    "evaluate",
    "metric_table",
    "operating_point_table",
    "resolve_test_config",
    "run_test",
    "write_calibrated",
]
