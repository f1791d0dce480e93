"""Training: loop, optimizer and schedule, run folder."""

from acsnet._utils.extras import require_extra

require_extra("train", "training")

from acsnet.training.environment import describe_environment
from acsnet.training.memory import keep_freed_memory, peak_memory_mb
from acsnet.training.preparation import PreparedTraining, prepare_training
from acsnet.training.run_folder import RunFolder
from acsnet.training.trainer import Trainer

__all__ = [
    "PreparedTraining",
    "RunFolder",
    "Trainer",
    "describe_environment",
    "keep_freed_memory",
    "peak_memory_mb",
    "prepare_training",
]
