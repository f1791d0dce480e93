"""Sums and checks of the losses of an epoch, without waiting for the current step of the device."""

import math
from pathlib import Path

import torch

from acsnet.errors import RunError


class NotFiniteError(Exception):
    """The loss of a step is not finite.

    Args:
        step: step of the epoch, counted from 1.
        value: the loss.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"the loss of step {step} is {value}")
        self.step = step
        self.value = value


class LossWatch:
    """Sum of each loss of an epoch on its device, and a check of each total loss during the next step.

    Reading a value from a GPU waits for all queued work. Therefore the copy to the host is queued with the step and
    read one step later, when it has arrived.

    Args:
        device: device of the losses.
        values: number of losses per step, including the total.

    Attributes:
        sums: sum of each loss on the device, in float64 if the device supports it.
    """

    def __init__(self, device: torch.device, values: int) -> None:
        self.sums = torch.zeros(values, dtype=_accumulation_dtype(device), device=device)
        self._steps = 0
        self._read = 0
        self._read_sum = 0.0
        self._pending: tuple[torch.Tensor, torch.cuda.Event | None] | None = None

    @property
    def mean(self) -> float | None:
        """Mean of the totals that have been read, or None before the first."""
        return self._read_sum / self._read if self._read else None

    def add(self, total: torch.Tensor, *losses: torch.Tensor | None) -> None:
        """Add the losses of a step, and read the total of the previous step.

        Args:
            total: the total loss, a scalar.
            losses: further losses, scalars; None counts as 0.

        Raises:
            NotFiniteError: if the total of the previous step is not finite.
        """
        self.finish()
        self._steps += 1
        total = total.detach()
        values = [total, *(total.new_zeros(()) if loss is None else loss.detach() for loss in losses)]
        self.sums += torch.stack(values).to(self.sums.dtype)
        if total.device.type != "cuda":
            self._pending = total.cpu(), None
            return
        arrived = torch.cuda.Event()
        self._pending = total.to("cpu", non_blocking=True), arrived
        arrived.record()

    def finish(self) -> None:
        """Read the last total that was added.

        Raises:
            NotFiniteError: if it is not finite.
        """
        if self._pending is None:
            return
        (total, arrived), self._pending = self._pending, None
        if arrived is not None:
            arrived.synchronize()
        value = total.item()
        if not math.isfinite(value):
            raise NotFiniteError(self._steps, value)
        self._read += 1
        self._read_sum += value


def _accumulation_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def divergence(what: str, epoch: int, folder: Path) -> RunError:
    """Return the error that ends a training whose numbers are no longer finite.

    Args:
        what: what is not finite, the beginning of the message.
        epoch: number of finished epochs, whose checkpoints are kept.
        folder: the run folder.
    """
    kept = f"the checkpoints of epoch {epoch} in {folder} are kept" if epoch else "nothing is saved"
    return RunError(
        f"{what}: training stopped, {kept}; lower optimizer.learning_rate, set training.gradient_clip, or set "
        "training.precision=float32"
    )
