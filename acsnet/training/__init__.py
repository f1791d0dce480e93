"""Training: loop, optimizer and schedule, run folder, trackers."""

from acsnet._utils.extras import require_extra

require_extra("train", "training")

from acsnet.training.environment import describe_environment
from acsnet.training.memory import keep_freed_memory, peak_memory_mb
from acsnet.training.optimizers import list_optimizers, register_optimizer
from acsnet.training.preparation import PreparedTraining, prepare_training
from acsnet.training.run_folder import RunFolder
from acsnet.training.trackers import list_trackers, register_tracker
from acsnet.training.trainer import Trainer

__all__ = [
    "PreparedTraining",
    "RunFolder",
    "Trainer",
    "describe_environment",
    "keep_freed_memory",
    "list_optimizers",
    "list_trackers",
    "peak_memory_mb",
    "prepare_training",
    "register_optimizer",
    "register_tracker",
]
