"""Experiments of several runs, shared by any number of workers: cross-validation and hyperparameter search."""

from acsnet._utils.extras import require_extra

require_extra("experiments", "an experiment of several runs")

from acsnet.experiments.crossval import CrossValidation
from acsnet.experiments.crossval_plan import Plan, PlannedConfiguration, read_plan
from acsnet.experiments.ensembling import save_ensemble
from acsnet.experiments.search_space import Parameter, PruningConfig, Search, load_search
from acsnet.experiments.storage import DEFAULT_HEARTBEAT
from acsnet.experiments.sweep import Sweep, TrialResult
from acsnet.experiments.sweep_page import result_table, write_sweep

__all__ = [
    "DEFAULT_HEARTBEAT",
    "CrossValidation",
    "Parameter",
    "Plan",
    "PlannedConfiguration",
    "PruningConfig",
    "Search",
    "Sweep",
    "TrialResult",
    "load_search",
    "read_plan",
    "result_table",
    "save_ensemble",
    "write_sweep",
]
