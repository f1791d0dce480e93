"""Searches over the values of a configuration."""

from acsnet.evaluation.sweep.output import result_table, write_sweep
from acsnet.evaluation.sweep.search import Parameter, PruningConfig, Search, load_search
from acsnet.evaluation.sweep.sweep import Sweep, TrialResult

__all__ = [
    "Parameter",
    "PruningConfig",
    "Search",
    "Sweep",
    "TrialResult",
    "load_search",
    "result_table",
    "write_sweep",
]
