"""What differences between networks are worth: intervals, paired tests, corrections, and what cannot be compared."""

from acsnet.statistics.bootstrap import BootstrapInterval, ClusterBootstrap, Resampled, bootstrap_mean
from acsnet.statistics.compare import Comparison, NetworkEstimates, NetworkPair, compare, paired_differences
from acsnet.statistics.delong import auroc_covariance, delong_interval, delong_test
from acsnet.statistics.folds import FoldSummary, summarize_folds
from acsnet.statistics.holm import holm
from acsnet.statistics.measures import MEASURES, Measure
from acsnet.statistics.paired import mcnemar_test, wilcoxon_test
from acsnet.statistics.pooling import check_comparable, leave_out_incomplete, pool_folds, pool_networks
from acsnet.statistics.results import Interval, PairedTest
from acsnet.statistics.runs import RunResult, read_run, read_runs
from acsnet.statistics.statistic import (
    Statistic,
    auroc_of,
    class_f1_of,
    figure_of,
    macro_f1_of,
    mean_of,
    weighted_f1_of,
)
from acsnet.statistics.table import comparison_table

__all__ = [
    "MEASURES",
    "BootstrapInterval",
    "ClusterBootstrap",
    "Comparison",
    "FoldSummary",
    "Interval",
    "Measure",
    "NetworkEstimates",
    "NetworkPair",
    "PairedTest",
    "Resampled",
    "RunResult",
    "Statistic",
    "auroc_covariance",
    "auroc_of",
    "bootstrap_mean",
    "check_comparable",
    "class_f1_of",
    "compare",
    "comparison_table",
    "delong_interval",
    "delong_test",
    "figure_of",
    "holm",
    "leave_out_incomplete",
    "macro_f1_of",
    "mcnemar_test",
    "mean_of",
    "paired_differences",
    "pool_folds",
    "pool_networks",
    "read_run",
    "read_runs",
    "summarize_folds",
    "weighted_f1_of",
    "wilcoxon_test",
]
