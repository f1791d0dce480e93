"""The losses of an epoch, read so that the host never waits for the step that the device is at."""

import math

import torch


class NotFiniteError(Exception):
    """A step's loss is not finite.

    Args:
        step: of the epoch, counted from 1.
        value: the loss.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"the loss of step {step} is {value}")
        self.step = step
        self.value = value


class LossWatch:
    """Sums the losses of an epoch on their device, and reads the total of each step once the next is under way.

    Reading a value from a GPU waits for all that was queued before it. So the copy to the host is queued with the step,
    and looked at one step later, when it has long arrived.

    Attributes:
        sums: on the device, of the watched values, in float64 where the device has it.
        mean: of the totals that were read so far, None before the first.
    """

    def __init__(self, device: torch.device, values: int) -> None:
        self.sums = torch.zeros(values, dtype=_accumulation_dtype(device), device=device)
        self._steps = 0
        self._read = 0
        self._read_sum = 0.0
        self._pending: tuple[torch.Tensor, torch.cuda.Event | None] | None = None

    @property
    def mean(self) -> float | None:
        """Average of the totals that were read so far."""
        return self._read_sum / self._read if self._read else None

    def add(self, total: torch.Tensor, *parts: torch.Tensor | None) -> None:
        """Add a step's losses, scalars, of which None counts 0; read the total of the step before.

        Raises:
            NotFiniteError: the total of the step before is not finite.
        """
        self.finish()
        self._steps += 1
        total = total.detach()
        values = [total, *(total.new_zeros(()) if part is None else part.detach() for part in parts)]
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
            NotFiniteError: it is not finite.
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
