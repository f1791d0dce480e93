"""Images on which an exported file is compared with its network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from acsnet.checkpoints import CheckpointMetadata
from acsnet.data.images import read_image
from acsnet.inference.input_files import find_images
from acsnet.inference.preprocessing import prepare_images
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import make_phantom

#: More images take time and test nothing new.
MAX_IMAGES = 8
_PHANTOM_SEEDS = (0, 1)


@dataclass(frozen=True)
class Samples:
    """Images for the comparison.

    Attributes:
        images: RGB images, (H, W, 3) uint8 each.
        metadata: metadata of the network: input size, channels and normalization.
        source: description of the images in words.
    """

    images: Sequence[npt.NDArray[np.uint8]]
    metadata: CheckpointMetadata
    source: str

    def batches(self, dynamic: Sequence[str], divisor: int) -> list[torch.Tensor]:
        """Return batches (B, C, H, W) that cover every dynamic dimension.

        Args:
            dynamic: names of the dynamic dimensions.
            divisor: heights and widths have to be multiples of it.
        """
        height, width = self.metadata.input_size
        sizes = [(height, width)]
        if "height" in dynamic:
            sizes.append((height + divisor, width + 2 * divisor))
        batches = []
        for size in sizes:
            # Contiguous: with channels last, normalizations of single images are less exact on a CPU, which would count
            # as an error of the exported file.
            images = prepare_images(self.images, self.metadata, "cpu", size).contiguous()
            several = images if len(images) > 1 else images.repeat(2, 1, 1, 1)
            batches += [images[:1], several] if "batch" in dynamic else list(images.split(1))
        return batches


def read_samples(metadata: CheckpointMetadata, inputs: Sequence[Path]) -> Samples:
    """Read the first eight images of files and folders, or generate six phantoms if there are none.

    Args:
        metadata: metadata of the network.
        inputs: images, and folders of images.

    Raises:
        DataError: if an image is missing or cannot be read, or a folder has no images.
    """
    if not inputs:
        phantoms = [make_phantom(label, seed).image for label in CLASS_NAMES for seed in _PHANTOM_SEEDS]
        return Samples([np.dstack([image] * 3) for image in phantoms], metadata, f"{len(phantoms)} phantoms")
    paths = [path for path, _ in find_images(inputs)]
    images = [read_image(path) for path in paths[:MAX_IMAGES]]
    return Samples(images, metadata, f"{len(images)} of {len(paths)} images given")
