"""Copies of known kinds, planted among images that have none: what the search for duplicates is measured by."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from acsnet.data import Record, make_phantom
from acsnet.data.curation.description import describe
from acsnet.data.curation.duplicates import find_duplicates
from acsnet.data.images import UInt8Array, pixel_digest

Generator = np.random.Generator
# An image in, two that show the same out.
Plant = Callable[[UInt8Array, Generator], tuple[UInt8Array, UInt8Array]]


def phantoms(count: int, first_seed: int = 0) -> list[UInt8Array]:
    """RGB phantoms of 256x256, every other without overlay."""
    labels = ("benign", "malignant", "normal")
    made = [make_phantom(labels[index % 3], first_seed + index).image for index in range(count)]
    return [cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) for image in made]


def _exact(image: UInt8Array, generator: Generator) -> UInt8Array:
    return image


def _rescaled(image: UInt8Array, generator: Generator) -> UInt8Array:
    """0.4 to 0.8 times as large, stretched by up to 15 %."""
    scale, stretch = generator.uniform(0.4, 0.8), generator.uniform(0.85, 1.15)
    return cv2.resize(image, None, fx=scale, fy=scale * stretch, interpolation=cv2.INTER_AREA)


def _encoded(image: UInt8Array, generator: Generator) -> UInt8Array:
    """JPEG of quality 30 to 70."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(30, 71))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _brightness(image: UInt8Array, generator: Generator) -> UInt8Array:
    """Gamma 0.7 to 1.4, gain 0.8 to 1.2, and up to 20 grey levels more or less, clipped."""
    values = 255 * (image / 255) ** generator.uniform(0.7, 1.4) * generator.uniform(0.8, 1.2)
    return np.clip(values + generator.uniform(-20, 20), 0, 255).astype(np.uint8)


def _cropped(image: UInt8Array, generator: Generator) -> UInt8Array:
    """60 to 85 % of each side."""
    height, width = (int(side * generator.uniform(0.6, 0.85)) for side in image.shape[:2])
    top = int(generator.integers(0, image.shape[0] - height + 1))
    left = int(generator.integers(0, image.shape[1] - width + 1))
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _captioned(image: UInt8Array, generator: Generator) -> UInt8Array:
    """Three captions of ten letters."""
    marked, (height, width) = image.copy(), image.shape[:2]
    for _ in range(3):
        text = "".join(generator.choice(list("ABCDEFLRT123"), 10))
        place = int(generator.integers(0, width // 2)), int(generator.integers(20, height))
        cv2.putText(marked, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 700, (255, 255, 255), 2)
    return marked


def _callipers(image: UInt8Array, generator: Generator) -> UInt8Array:
    """Two dotted lines between crosses."""
    marked, (height, width) = image.copy(), image.shape[:2]
    for _ in range(2):
        ends = generator.uniform(0.2, 0.8, (2, 2)) * (width, height)
        for end in ends:
            cv2.drawMarker(marked, np.rint(end).astype(int).tolist(), (255, 255, 255), cv2.MARKER_CROSS, 14, 2)
        for share in np.linspace(0, 1, 25):
            dot = np.rint(ends[0] * (1 - share) + ends[1] * share).astype(int).tolist()
            cv2.circle(marked, dot, 1, (255, 255, 255), -1)
    return marked


def _mirrored(image: UInt8Array, generator: Generator) -> UInt8Array:
    return np.ascontiguousarray(image[:, ::-1])


def _framed(image: UInt8Array, generator: Generator) -> tuple[UInt8Array, UInt8Array]:
    """Two windows of one scan: each shows a half that the other has not."""
    height, width = image.shape[:2]
    left, right = image[:, : int(width * 0.66)], image[int(height * 0.15) :, int(width * 0.34) :]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


def _all_at_once(image: UInt8Array, generator: Generator) -> UInt8Array:
    """Rescaled, marked, cropped, encoded and made brighter or darker."""
    for change in (_rescaled, _captioned, _callipers, _cropped, _encoded, _brightness):
        image = change(image, generator)
    return image


def _beside_the_original(change: Callable[[UInt8Array, Generator], UInt8Array]) -> Plant:
    return lambda image, generator: (image, change(image, generator))


PLANTS: dict[str, Plant] = {
    "exact": _beside_the_original(_exact),
    "rescaled": _beside_the_original(_rescaled),
    "re-encoded": _beside_the_original(_encoded),
    "brightness": _beside_the_original(_brightness),
    "cropped": _beside_the_original(_cropped),
    "captions": _beside_the_original(_captioned),
    "callipers": _beside_the_original(_callipers),
    "mirrored": _beside_the_original(_mirrored),
    "framed differently": _framed,
    "all at once": _beside_the_original(_all_at_once),
}


class Score(NamedTuple):
    """How well planted pairs are found.

    Attributes:
        recall: share of the planted pairs that are found.
        precision: share of the pairs found that are planted.
        copies: share of those found that are called identical or copy, not overlap.
    """

    recall: float
    precision: float
    copies: float


def measure(images: Sequence[UInt8Array], plant: Plant, seed: int = 0) -> Score:
    """Plant a copy of each image, search, and compare what is found with what was planted."""
    generator = np.random.default_rng(seed)
    planted = [plant(image, generator) for image in images]
    every = [pair[0] for pair in planted] + [pair[1] for pair in planted]
    records = [Record(Path(), (), "benign", name=str(i), digest=pixel_digest(image)) for i, image in enumerate(every)]
    pairs = find_duplicates(records, [describe(image, None) for image in every], progress=False)
    right = [pair for pair in pairs if pair.second - pair.first == len(images)]
    copies = [pair for pair in right if pair.relation != "overlap"]
    return Score(len(right) / len(images), len(right) / max(1, len(pairs)), len(copies) / max(1, len(right)))
