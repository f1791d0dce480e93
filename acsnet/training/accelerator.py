"""The accelerator of a training: its device, precision and processes."""

import os

import torch
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.state import AcceleratorState

from acsnet._utils.devices import choose_device
from acsnet.config import TrainingConfig
from acsnet.errors import ConfigError, InputError
from acsnet.training.memory import keep_freed_memory
from acsnet.training.precision import accelerate_name


def build_accelerator(training: TrainingConfig, device: str | None = None) -> Accelerator:
    """Build the accelerator: devices, precision and processes.

    Args:
        training: the section of the configuration.
        device: see :func:`acsnet._utils.devices.choose_device`; processes of one training take a GPU each,
            and share them if there are fewer.

    Raises:
        ConfigError: if the device cannot compute with the precision, or the processes cannot share a batch equally.
        InputError: if the device is not there, or several processes were given one GPU.
    """
    chosen = choose_device(device)
    # The precision is global state of accelerate, and a process may train several configurations.
    AcceleratorState._reset_state()
    # Set explicitly: without a GPU, accelerate otherwise treats the processes of torchrun as independent.
    state = PartialState(cpu=chosen.type == "cpu", backend=_backend(chosen))
    _set_device(state, chosen)
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


def _backend(device: torch.device) -> str | None:
    """Return how processes communicate: NCCL, accelerate's choice, has no processes that share a GPU."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return "gloo" if device.type == "cuda" and processes > torch.cuda.device_count() else None


def _set_device(state: PartialState, device: torch.device) -> None:
    """Make a device that of the process, which accelerate otherwise chooses itself."""
    if state.num_processes == 1:
        state.device = device
        if device.index is not None:
            torch.cuda.set_device(device)
    elif device.index is not None:
        raise InputError(
            f"--device is {device}, but this training has {state.num_processes} processes, which take a GPU each: "
            "choose the GPUs by CUDA_VISIBLE_DEVICES"
        )
