"""Cross-validation of several configurations by any number of workers."""

from acsnet.evaluation.crossval.crossval import CrossValidation
from acsnet.evaluation.crossval.ensembling import save_ensemble
from acsnet.evaluation.crossval.plan import Plan, PlannedConfiguration, read_plan

__all__ = ["CrossValidation", "Plan", "PlannedConfiguration", "read_plan", "save_ensemble"]
