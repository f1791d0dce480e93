"""Export of a checkpoint: writing the file, and comparing its probabilities with those of the network."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from acsnet._utils.files import whole_file
from acsnet._utils.folders import check_writable
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet.checkpoints import Checkpoint, CheckpointMetadata, open_checkpoint
from acsnet.config import EvaluationConfig
from acsnet.errors import CheckpointError, InputError
from acsnet.export.formats import DIMENSIONS, Format, RefusedError, attempt, find_format
from acsnet.export.network import ProbabilityNetwork, describe, load_network
from acsnet.export.samples import read_samples

#: Largest accepted difference of a probability from the network's. Rounding causes 1e-7 to 1e-5 in the networks of the
#: zoo; a wrong constant or operator causes far more.
TOLERANCE = 1e-4
# Sets of dynamic dimensions, in the order in which they are tried.
_DYNAMIC_CHOICES = (tuple(DIMENSIONS.values()), ("batch",), ())

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export:
    """An exported file and the result of its check.

    Attributes:
        path: the file.
        outputs: names of the outputs.
        input_size: (height, width) in pixels of the training.
        divisor: heights and widths have to be multiples of it.
        dynamic: names of the dynamic dimensions of the images.
        refusals: why other dimensions are not dynamic, one line per failed attempt.
        largest_difference: largest difference of a probability from the network's.
        samples: description of the images of the comparison.
        shapes: shapes of the batches of the comparison.
        seconds: time of the export in seconds, with failed attempts.
    """

    path: Path
    outputs: tuple[str, ...]
    input_size: tuple[int, int]
    divisor: int
    dynamic: tuple[str, ...]
    refusals: tuple[str, ...]
    largest_difference: float
    samples: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float

    def summary(self) -> str:
        """Return a few lines about the file and its check."""
        height, width = self.input_size
        fixed = [name for name in DIMENSIONS.values() if name not in self.dynamic]
        lines = [f"{self.path}: {self.path.stat().st_size / 1e6:.1f} MB, {self.seconds:.0f} s"]
        lines.append(f"images of {height}x{width} (height x width) in, probabilities out: {', '.join(self.outputs)}")
        lines.append(f"dynamic: {', '.join(self.dynamic) or 'none'}")
        if "height" in self.dynamic:
            lines[-1] += f" (multiples of {self.divisor})"
        if fixed:
            reason = f", since {self.refusals[-1]}" if self.refusals else ""
            lines.append(f"fixed: {', '.join(fixed)}{reason}")
        shapes = ", ".join("x".join(map(str, shape)) for shape in self.shapes)
        lines.append(
            f"largest difference of a probability from the network's: {self.largest_difference:.1e} ({self.samples}; "
            f"{shapes})"
        )
        return "\n".join(lines)


def default_export(checkpoint: Checkpoint, format: str) -> Path:
    """Return the default output file: in the working folder for a released name, otherwise next to the checkpoint.

    Raises:
        UnknownNameError: if there is no such format.
    """
    suffix = find_format(format).suffix
    name = checkpoint.released_name
    return checkpoint.path.with_suffix(suffix) if name is None else Path(f"{name}{suffix}")


def export_checkpoint(
    checkpoint: str | Path | Checkpoint, format: str, out: str | Path | None = None, images: AnyPaths = ()
) -> Export:
    """Export the network, or ensemble, of a checkpoint to a file that runs without this package.

    The input ``images`` (B, C, H, W) of the exported network is normalized, float32. Its outputs are the probabilities
    ``mask`` (B, 1, H, W) and ``classes`` (B, K), or one of them. Batch, height and width are dynamic if the network
    supports it. The file is written only if its probabilities equal those of the network within :data:`TOLERANCE`.

    Args:
        checkpoint: a released name, a ``.safetensors`` file or an opened checkpoint.
        format: ``"onnx"`` or ``"torch"`` (``torch.export``).
        out: the file to write, which must not exist; by default :func:`default_export`.
        images: files and folders of images for the comparison, of which the first eight are used; by default six
            phantoms.

    Raises:
        UnknownNameError: if the format or the released name is unknown.
        InputError: if the file exists or has another suffix, or PyTorch is too old.
        MissingPackageError: if a package of the extra ``export`` is not installed.
        DataError: if images cannot be read.
        CheckpointError: if the checkpoint cannot be read, or the network cannot be exported exactly.
        WriteError: if the file cannot be written; DiskFullError if the disk is full.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.export import export_checkpoint
        >>> result = export_checkpoint("unet_lite0_busi", "onnx", Path("unet.onnx"))  # doctest: +SKIP
        >>> print(result.summary())  # doctest: +SKIP
    """
    out = None if out is None else Path(out)
    images = list_paths(images)
    kind = find_format(format)
    kind.check()
    checkpoint = open_checkpoint(checkpoint)
    metadata = checkpoint.metadata
    path = out or default_export(checkpoint, format)
    _check_path(path, kind)
    check_writable(path)
    samples = read_samples(metadata, images)
    _warn_of_omissions(metadata)
    network = load_network(checkpoint)
    exported = load_network(checkpoint)
    description = {**describe(checkpoint), "divisor": network.divisor}
    start, refusals = time.monotonic(), []
    for dynamic in _DYNAMIC_CHOICES if network.image_size is None else _DYNAMIC_CHOICES[1:]:
        example = _example(metadata, dynamic, network.divisor)
        batches = samples.batches(dynamic, network.divisor)
        try:
            with whole_file(path) as temporary:
                kind.write(exported, temporary, example, dynamic, {**description, "dynamic": dynamic})
                difference = _compare(network, kind, temporary, batches)
        except RefusedError as error:
            refusals.append(str(error))
            continue
        return Export(
            path=path,
            outputs=network.outputs,
            input_size=metadata.input_size,
            divisor=network.divisor,
            dynamic=dynamic,
            refusals=tuple(refusals),
            largest_difference=difference,
            samples=samples.source,
            shapes=tuple(tuple(batch.shape) for batch in batches),
            seconds=time.monotonic() - start,
        )
    raise CheckpointError(
        f"{checkpoint.path} cannot be exported as {format}, not even with a fixed size: {refusals[-1]}"
    )


def _check_path(path: Path, kind: Format) -> None:
    if path.suffix != kind.suffix:
        raise InputError(f"{path} has to end in {kind.suffix}, as {kind.name} files do: give another --out")
    # Unlike Path.exists, this does not raise for a name that is too long.
    if os.path.exists(path):
        raise InputError(f"{path} exists already and is not overwritten: remove it, or give another --out")


def _warn_of_omissions(metadata: CheckpointMetadata) -> None:
    plain = EvaluationConfig(batch_size=metadata.evaluation.batch_size, threshold=metadata.evaluation.threshold)
    if metadata.evaluation != plain:
        logger.warning(
            "the checkpoint's test-time augmentation, post-processing and refining are not part of the network: the "
            "exported file does not include them"
        )
    if metadata.crop_margins or metadata.keep_aspect:
        steps = [
            "cropped to the scanned region" if metadata.crop_margins else "",
            "padded to the input size" if metadata.keep_aspect else "",
        ]
        logger.warning(
            "images have to be %s before they are passed to the exported file, which does not include it, and masks "
            "have to be mapped back: acsnet.data.Framing does both",
            " and ".join(filter(None, steps)),
        )


def _example(metadata: CheckpointMetadata, dynamic: Sequence[str], divisor: int) -> torch.Tensor:
    """Return an input for tracing; its values do not matter.

    Dynamic sizes are neither 1 nor equal to each other anywhere in the network: the exporter would take either for a
    constraint.
    """
    height, width = metadata.input_size
    if "height" in dynamic:
        height, width = max(height, 2 * divisor), max(width, 2 * divisor)
        width += divisor * (height == width)
    return torch.zeros(2 if "batch" in dynamic else 1, metadata.in_channels, height, width)


@torch.inference_mode()
def _compare(network: ProbabilityNetwork, kind: Format, path: Path, batches: Sequence[torch.Tensor]) -> float:
    """Return the largest difference of a file's probabilities from the network's.

    Raises:
        RefusedError: if it is too large, or the file does not run.
    """
    run = attempt(lambda: kind.load(path, network.outputs))
    differences = []
    for images in batches:
        # A network of fixed size may be exported for all sizes, which it then does not take itself.
        expected, found = attempt(partial(network, images)), attempt(partial(run, images))
        for name in network.outputs:
            if found[name].shape != expected[name].shape:
                raise RefusedError(f"{name} has shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}")
            differences.append((found[name] - expected[name]).abs().max().item())
    # NumPy's maximum is NaN if any value is, unlike Python's.
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:
        raise RefusedError(f"a probability differs by {largest:.1e} from the network's; the limit is {TOLERANCE:.0e}")
    return largest
