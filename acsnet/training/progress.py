"""Progress of a training: one bar and one log line per epoch, and the trackers."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet._utils.overlay import PREDICTION_COLOR, TRUTH_COLOR, add_caption, draw_contours
from acsnet.config import Config
from acsnet.training.run_folder import RunFolder
from acsnet.training.trackers import Trackers

logger = logging.getLogger(__name__)


class Reporter:
    """Progress of one run, shown by the main process only.

    Args:
        folder: the run folder.
        first_epoch: first epoch of this process, counted from 0.
        config: the configuration of the training.
        enabled: whether this is the main process.
        bar: show progress bars.

    Raises:
        WriteError: if the files of TensorBoard cannot be written.
    """

    def __init__(self, folder: RunFolder, first_epoch: int, config: Config, enabled: bool, bar: bool = True) -> None:
        self._epochs = config.training.epochs
        self._first_epoch = first_epoch
        self._enabled = enabled
        self._bar = bar
        self._started = time.monotonic()
        self._trackers = Trackers(config, folder, first_epoch) if enabled else None

    def bar(self, batches: Any, epoch: int, length: int) -> "tqdm[Any]":
        """Return a progress bar over the batches of an epoch."""
        return tqdm(
            batches,
            total=length,
            desc=f"epoch {epoch + 1}/{self._epochs}",
            unit="batch",
            leave=False,
            # None: the bar is shown on a terminal only, so that log files contain one line per epoch.
            disable=None if self._enabled and self._bar else True,
        )

    def epoch(self, row: Mapping[str, Any], improved: bool) -> None:
        """Log the metrics of a finished epoch."""
        if self._trackers is None:
            return
        epoch = int(row["epoch"])
        known = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        self._trackers.log({_SCALARS.get(name) or _scalar(name): value for name, value in known.items()}, epoch)
        values = ", ".join(
            f"{name.removeprefix('val_')} {value:.3f}"
            for name, value in row.items()
            if name.startswith("val_") and name != "val_loss"
        )
        logger.info(
            "epoch %d/%d: loss %.4f, val loss %.4f, %s, score %.4f%s, %.1f s, %s to go",
            epoch,
            self._epochs,
            row["loss"],
            row["val_loss"],
            values,
            row["score"],
            " (best)" if improved else "",
            row["seconds"],
            self._remaining(epoch),
        )

    def _remaining(self, epoch: int) -> str:
        done = epoch - self._first_epoch
        seconds = (time.monotonic() - self._started) / done * (self._epochs - epoch)
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

    def panel(self, pictures: Sequence[npt.NDArray[np.uint8]], epoch: int) -> None:
        """Write pictures of the same size side by side as one panel."""
        if self._trackers is not None:
            self._trackers.log_picture("validation", np.concatenate(pictures, axis=1), epoch)

    def close(self) -> None:
        """End the runs of the trackers."""
        if self._trackers is not None:
            self._trackers.close()


# Values that belong neither to the training nor to the validation subset.
_SCALARS = {"score": "val/score", "seconds": "epoch/seconds", "peak_memory_mb": "epoch/peak_memory_mb"}


def _scalar(name: str) -> str:
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"


def case_picture(
    image: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.bool_],
    prediction: npt.NDArray[np.bool_] | None,
    caption: str,
) -> npt.NDArray[np.uint8]:
    """Draw image, truth and prediction of one case below each other, with a caption.

    Args:
        image: (H, W, 1 or 3).
        truth: (H, W).
        prediction: (H, W), or None if the model has no masks.
        caption: text at the bottom.

    Returns:
        (height, W, 3) RGB picture.
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    rows = [rgb, draw_contours(rgb, truth, TRUTH_COLOR)]
    rows += [] if prediction is None else [draw_contours(rgb, prediction, PREDICTION_COLOR)]
    return add_caption(np.concatenate(rows), caption)
