"""The images on which an exported file is compared with its network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.data.images import read_image
from acsnet.inference.predict_files import find_images
from acsnet.inference.preprocessing import prepare_images
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import make_phantom

#: More add time and no case.
MOST_IMAGES = 8
_PHANTOM_SEEDS = (0, 1)


@dataclass(frozen=True)
class Samples:
    """Images to compare on.

    Attributes:
        images: RGB, each (H, W, 3) uint8.
        card: of the network, which says how they are prepared.
        source: what they are, in words.
    """

    images: Sequence[npt.NDArray[np.uint8]]
    metadata: CheckpointMetadata
    source: str

    def batches(self, dynamic: Sequence[str], divisor: int) -> list[torch.Tensor]:
        """Give batches (B, C, H, W) that try every dynamic dimension out.

        Args:
            dynamic: its names.
            divisor: heights and widths have to be multiples of it.
        """
        height, width = self.metadata.input_size
        sizes = [(height, width)]
        if "height" in dynamic:
            sizes.append((height + divisor, width + 2 * divisor))
        batches = []
        for size in sizes:
            # In PyTorch's usual layout: normalizations of single images are less exact on a CPU with the channels last,
            # and an exported file would be blamed for it.
            images = prepare_images(self.images, self.metadata, "cpu", size).contiguous()
            several = images if len(images) > 1 else images.repeat(2, 1, 1, 1)
            batches += [images[:1], several] if "batch" in dynamic else list(images.split(1))
        return batches


def read_samples(metadata: CheckpointMetadata, inputs: Sequence[Path]) -> Samples:
    """Read the first eight images of files and folders; without any, make six phantoms.

    Raises:
        DataError: for an image that is missing or cannot be read, or a folder without any.
    """
    if not inputs:
        phantoms = [make_phantom(label, seed).image for label in CLASS_NAMES for seed in _PHANTOM_SEEDS]
        return Samples([np.dstack([image] * 3) for image in phantoms], metadata, f"{len(phantoms)} phantoms")
    paths = [path for path, _ in find_images(inputs)]
    images = [read_image(path) for path in paths[:MOST_IMAGES]]
    return Samples(images, metadata, f"{len(images)} of {len(paths)} images given")
