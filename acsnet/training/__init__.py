"""Training: loop, optimiser and schedule, run folder."""

from acsnet.training.run_folder import RunFolder
from acsnet.training.trainer import Trainer

__all__ = ["RunFolder", "Trainer"]
