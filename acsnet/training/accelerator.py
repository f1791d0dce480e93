"""The accelerator of a training: its device, precision and processes."""

import torch
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.state import AcceleratorState

from acsnet.config import TrainingConfig
from acsnet.errors import ConfigError
from acsnet.training.memory import keep_freed_memory
from acsnet.training.precision import accelerate_name


def build_accelerator(training: TrainingConfig) -> Accelerator:
    """Build the accelerator: devices, precision and processes.

    Raises:
        ConfigError: if the device cannot compute with the precision, or the processes cannot share a batch equally.
    """
    # The precision is global state of accelerate, and a process may train several configurations.
    AcceleratorState._reset_state()
    # Set explicitly: without a GPU, accelerate otherwise treats the processes of torchrun as independent.
    state = PartialState(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))
    if training.precision == "float16" and state.device.type == "cpu":
        raise ConfigError(
            "training.precision is float16, which needs a GPU: choose auto, bfloat16 or float32 on this machine"
        )
    accelerator = Accelerator(
        mixed_precision=accelerate_name(training, state.device),
        # A batch is divided among the processes, so that the training does not depend on their number.
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
        step_scheduler_with_optimizer=False,
    )
    if training.batch_size % accelerator.num_processes:
        raise ConfigError(
            f"training.batch_size is {training.batch_size}, which {accelerator.num_processes} processes cannot "
            "share equally: choose a multiple"
        )
    torch.backends.cudnn.benchmark = True
    if state.device.type == "cpu":
        keep_freed_memory()
    return accelerator
