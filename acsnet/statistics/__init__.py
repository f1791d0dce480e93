"""Statistical comparison of networks: confidence intervals, paired tests and corrections for multiple tests."""

from acsnet._utils.extras import require_extra

require_extra("train", "statistics", ("scipy",))

from acsnet.statistics.bootstrap import bootstrap_mean
from acsnet.statistics.compare import compare
from acsnet.statistics.comparison_table import comparison_table, published_fold_tables
from acsnet.statistics.delong import delong_interval, delong_test
from acsnet.statistics.folds import summarize_folds, summarize_published
from acsnet.statistics.metrics import METRICS
from acsnet.statistics.paired import holm, mcnemar_test, wilcoxon_test
from acsnet.statistics.runs import RunResult, read_run, read_runs
from acsnet.statistics.wilson import wilson_interval

__all__ = [
    "METRICS",
    "RunResult",
    "bootstrap_mean",
    "compare",
    "comparison_table",
    "delong_interval",
    "delong_test",
    "holm",
    "mcnemar_test",
    "published_fold_tables",
    "read_run",
    "read_runs",
    "summarize_folds",
    "summarize_published",
    "wilcoxon_test",
    "wilson_interval",
]
