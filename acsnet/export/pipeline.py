"""A checkpoint's network as a file that runs without this package, compared with the network before it is kept."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from acsnet._utils.files import whole_file
from acsnet.checkpoints import is_path, resolve_checkpoint
from acsnet.checkpoints.metadata import CheckpointMetadata, read_metadata
from acsnet.config import EvaluationConfig
from acsnet.errors import CheckpointError, InputError
from acsnet.export.formats import DIMENSIONS, Format, RefusedError, attempt, find_format
from acsnet.export.network import ProbabilityNetwork, describe, load_network, use_plain_operators
from acsnet.export.samples import read_samples

#: By how much a probability may differ from the network's. Rounding in another order gives 1e-7 to 1e-5 in the networks
#: of the zoo; a wrong constant or operator gives far more.
TOLERANCE = 1e-4
# What may be dynamic, tried in this order: the most first.
_CHOICES = (tuple(DIMENSIONS.values()), ("batch",), ())

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export:
    """An exported file, and how it was checked.

    Attributes:
        path: of the file.
        outputs: their names.
        input_size: (height, width) that the network was trained on.
        divisor: heights and widths have to be multiples of it.
        dynamic: the names of the images' dimensions that may vary.
        refusals: why others may not, a line for each try that failed.
        largest_difference: of a probability, from the network's.
        samples: what it was measured on.
        shapes: of the batches.
        seconds: that writing took, tries that failed included.
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
        """What was written and how it was checked, in a few lines."""
        height, width = self.input_size
        fixed = [name for name in DIMENSIONS.values() if name not in self.dynamic]
        lines = [f"{self.path}: {self.path.stat().st_size / 1e6:.1f} MB, {self.seconds:.0f} s"]
        lines.append(f"images of {height}x{width} (height x width) in, probabilities out: {', '.join(self.outputs)}")
        lines.append(f"dynamic: {', '.join(self.dynamic) or 'nothing'}")
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


def default_export(checkpoint: str, format: str) -> Path:
    """Where an export goes by default: beside the file under its name, for a released name into the working folder.

    Raises:
        UnknownNameError: for an unknown format.
    """
    suffix = find_format(format).suffix
    path = Path(checkpoint)
    return path.with_suffix(suffix) if path.is_file() or is_path(checkpoint) else Path(f"{checkpoint}{suffix}")


def export_checkpoint(
    checkpoint: str | Path, format: str, out: Path | None = None, images: Sequence[Path] = ()
) -> Export:
    """Write a checkpoint's network, or ensemble, as a file that runs without this package.

    Its input ``images`` (B, C, H, W) is normalized, float32. What comes out are the probabilities ``mask`` (B, 1, H, W)
    and ``classes`` (B, K), or one of them. Batch, height and width are dynamic where the network lets them be. The file
    is kept only if its probabilities are those of the network.

    Args:
        checkpoint: a ``.safetensors`` file, or the name of a released checkpoint.
        format: ``"onnx"`` or ``"torch"`` (``torch.export``).
        out: the file to write, which must not exist; by default :func:`default_export`.
        images: files and folders of images to compare on, of which the first eight are taken; by default six phantoms.

    Raises:
        UnknownNameError: for an unknown format or released name.
        InputError: for a file that exists or has another suffix, or where something to be installed is missing.
        DataError: for images that cannot be read.
        CheckpointError: for a checkpoint that cannot be read, or a network that cannot be exported, or not exactly.
        DiskFullError: where there is no space left.
    """
    kind = find_format(format)
    kind.check()
    path = out or default_export(str(checkpoint), format)
    _check_path(path, kind)
    source = resolve_checkpoint(checkpoint)
    metadata = read_metadata(source)
    samples = read_samples(metadata, images)
    _warn_of_what_is_left_out(metadata)
    network = load_network(source)
    exported = use_plain_operators(load_network(source))
    description = {**describe(source, metadata), "divisor": network.divisor}
    start, refusals = time.monotonic(), []
    for dynamic in _CHOICES:
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
    raise CheckpointError(f"{source} cannot be exported as {format}, not even with a fixed size: {refusals[-1]}")


def _check_path(path: Path, kind: Format) -> None:
    if path.suffix != kind.suffix:
        raise InputError(f"{path} has to end in {kind.suffix}, as {kind.name} files do: give another --out")
    if path.exists():
        raise InputError(f"{path} exists already, and nothing is overwritten: remove it, or give another --out")


def _warn_of_what_is_left_out(metadata: CheckpointMetadata) -> None:
    plain = EvaluationConfig(batch_size=metadata.evaluation.batch_size, threshold=metadata.evaluation.threshold)
    if metadata.evaluation != plain:
        logger.warning(
            "the checkpoint's test-time augmentation, post-processing and refining are no part of the network: the "
            "exported file goes without"
        )


def _example(metadata: CheckpointMetadata, dynamic: Sequence[str], divisor: int) -> torch.Tensor:
    """An input to trace with; values do not matter.

    Sizes that may vary are neither 1 nor equal to each other anywhere in the network, which could be taken for a rule.
    """
    height, width = metadata.input_size
    if "height" in dynamic:
        height, width = max(height, 2 * divisor), max(width, 2 * divisor)
        width += divisor * (height == width)
    channels = int(metadata.arguments.get("in_channels", 3))
    return torch.zeros(2 if "batch" in dynamic else 1, channels, height, width)


@torch.inference_mode()
def _compare(network: ProbabilityNetwork, kind: Format, path: Path, batches: Sequence[torch.Tensor]) -> float:
    """The largest difference of a file's probabilities from the network's.

    Raises:
        RefusedError: where it is too large, or the file does not run.
    """
    run = attempt(lambda: kind.load(path, network.outputs))
    differences = []
    for images in batches:
        expected, found = network(images), attempt(partial(run, images))
        for name in network.outputs:
            if found[name].shape != expected[name].shape:
                raise RefusedError(f"{name} has shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}")
            differences.append((found[name] - expected[name]).abs().max().item())
    # NumPy's, unlike Python's, is NaN where any is.
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:
        raise RefusedError(
            f"a probability differs by {largest:.1e} from the network's, more than {TOLERANCE:.0e} is not kept"
        )
    return largest
