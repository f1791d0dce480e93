"""Recall and precision of the search for duplicates, measured with copies of known kinds planted among other images.

``pytest tests/curation/duplicates/test_planted.py -m "slow or not slow" -s`` prints the table.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from acsnet.curation.duplicates.description import describe
from acsnet.curation.duplicates.search import find_duplicates
from acsnet.curation.findings import ImagePair
from acsnet.data import Record, read_busi
from acsnet.data.images import UInt8Array, pixel_digest, read_image
from acsnet.phantom import make_phantom

_Generator = np.random.Generator
# Takes an image and returns two images of the same scan.
_Plant = Callable[[UInt8Array, _Generator], tuple[UInt8Array, UInt8Array]]


def _phantoms(count: int) -> list[UInt8Array]:
    """Make RGB phantoms of 256x256 pixels."""
    labels = ("benign", "malignant", "normal")
    made = [make_phantom(labels[index % 3], index).image for index in range(count)]
    return [cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) for image in made]


def _exact(image: UInt8Array, generator: _Generator) -> UInt8Array:
    return image


def _rescaled(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Rescale by 0.4 to 0.8 and stretch by up to 15 %."""
    scale, stretch = generator.uniform(0.4, 0.8), generator.uniform(0.85, 1.15)
    return cv2.resize(image, None, fx=scale, fy=scale * stretch, interpolation=cv2.INTER_AREA)


def _encoded(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Encode as JPEG of quality 30 to 70."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(30, 71))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _brightness(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Apply gamma 0.7 to 1.4, gain 0.8 to 1.2 and an offset of up to 20 gray levels, and clip."""
    values = 255 * (image / 255) ** generator.uniform(0.7, 1.4) * generator.uniform(0.8, 1.2)
    return np.clip(values + generator.uniform(-20, 20), 0, 255).astype(np.uint8)


def _cropped(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Crop to 60 to 85 % of each side."""
    height, width = (int(side * generator.uniform(0.6, 0.85)) for side in image.shape[:2])
    top = int(generator.integers(0, image.shape[0] - height + 1))
    left = int(generator.integers(0, image.shape[1] - width + 1))
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _captioned(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Draw three captions of ten letters."""
    marked, (height, width) = image.copy(), image.shape[:2]
    for _ in range(3):
        text = "".join(generator.choice(list("ABCDEFLRT123"), 10))
        place = int(generator.integers(0, width // 2)), int(generator.integers(20, height))
        cv2.putText(marked, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 700, (255, 255, 255), 2)
    return marked


def _calipers(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Draw two dotted lines between crosses."""
    marked, (height, width) = image.copy(), image.shape[:2]
    for _ in range(2):
        ends = generator.uniform(0.2, 0.8, (2, 2)) * (width, height)
        for end in ends:
            cv2.drawMarker(marked, np.rint(end).astype(int).tolist(), (255, 255, 255), cv2.MARKER_CROSS, 14, 2)
        for share in np.linspace(0, 1, 25):
            dot = np.rint(ends[0] * (1 - share) + ends[1] * share).astype(int).tolist()
            cv2.circle(marked, dot, 1, (255, 255, 255), -1)
    return marked


def _mirrored(image: UInt8Array, generator: _Generator) -> UInt8Array:
    return np.ascontiguousarray(image[:, ::-1])


def _framed(image: UInt8Array, generator: _Generator) -> tuple[UInt8Array, UInt8Array]:
    """Return two windows of one scan; each shows a part that the other does not."""
    height, width = image.shape[:2]
    left, right = image[:, : int(width * 0.66)], image[int(height * 0.15) :, int(width * 0.34) :]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


def _all_at_once(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Rescale, mark, crop, encode and change the brightness."""
    for change in (_rescaled, _captioned, _calipers, _cropped, _encoded, _brightness):
        image = change(image, generator)
    return image


def _with_original(change: Callable[[UInt8Array, _Generator], UInt8Array]) -> _Plant:
    return lambda image, generator: (image, change(image, generator))


_PLANTS: dict[str, _Plant] = {
    "exact": _with_original(_exact),
    "rescaled": _with_original(_rescaled),
    "re-encoded": _with_original(_encoded),
    "brightness": _with_original(_brightness),
    "cropped": _with_original(_cropped),
    "captions": _with_original(_captioned),
    "calipers": _with_original(_calipers),
    "mirrored": _with_original(_mirrored),
    "framed differently": _framed,
    "all at once": _with_original(_all_at_once),
}


class _SearchMetrics(NamedTuple):
    """Metrics of the search.

    Attributes:
        recall: share of the planted pairs that are found.
        precision: share of the pairs found that are planted.
        copies: share of the planted pairs found whose relation is identical or copy, not overlap.
    """

    recall: float
    precision: float
    copies: float


def _measure(images: Sequence[UInt8Array], plant: _Plant, seed: int = 0) -> _SearchMetrics:
    """Plant a copy of each image, search, and compare the pairs found with those planted."""
    generator = np.random.default_rng(seed)
    planted = [plant(image, generator) for image in images]
    pairs = _search([pair[0] for pair in planted] + [pair[1] for pair in planted])
    right = [pair for pair in pairs if pair.second - pair.first == len(images)]
    copies = [pair for pair in right if pair.relation != "overlap"]
    return _SearchMetrics(len(right) / len(images), len(right) / max(1, len(pairs)), len(copies) / max(1, len(right)))


def _search(images: Sequence[UInt8Array]) -> tuple[ImagePair, ...]:
    records = [
        Record(Path(), (), "benign", str(number), digest=pixel_digest(image)) for number, image in enumerate(images)
    ]
    return find_duplicates(records, [describe(image, None) for image in images], progress=False)


# Minimum recall, and minimum share of copies among the pairs found, by kind of change. The minimum precision is 0.98.
_MINIMA = {
    "exact": (0.98, 1.0),
    "rescaled": (0.98, 0.98),
    "re-encoded": (0.98, 0.5),
    "brightness": (0.98, 0.9),
    "cropped": (0.95, 0.9),
    "captions": (0.98, 0.9),
    "calipers": (0.98, 0.98),
    "mirrored": (0.98, 0.98),
    "framed differently": (0.95, 0.9),
    "all at once": (0.5, 0.0),
}


@pytest.fixture(scope="module")
def few_phantoms() -> list[UInt8Array]:
    return _phantoms(20)


def _check(name: str, images: Sequence[UInt8Array]) -> None:
    metrics = _measure(images, _PLANTS[name])
    print(
        f"\n{name}, {len(images)} images: recall {metrics.recall:.3f}, precision {metrics.precision:.3f}, "
        f"copies {metrics.copies:.3f}"
    )
    recall, copies = _MINIMA[name]
    assert metrics.recall >= recall
    assert metrics.precision >= 0.98
    assert metrics.copies >= copies


@pytest.mark.parametrize("name", _PLANTS)
def test_planted_among_phantoms(name: str, few_phantoms: list[UInt8Array]) -> None:
    _check(name, few_phantoms)


@pytest.fixture(scope="module")
def many_phantoms() -> list[UInt8Array]:
    return _phantoms(100)


@pytest.mark.slow
@pytest.mark.parametrize("name", _PLANTS)
def test_planted_among_many_phantoms(name: str, many_phantoms: list[UInt8Array]) -> None:
    _check(name, many_phantoms)


@pytest.fixture(scope="module")
def real_images(busi_root: Path) -> list[UInt8Array]:
    """Return 100 real images without any related image in the dataset."""
    images = [read_image(record.image) for record in read_busi(busi_root)]
    paired = {number for pair in _search(images) for number in (pair.first, pair.second)}
    unpaired = [image for number, image in enumerate(images) if number not in paired]
    return [unpaired[index] for index in np.random.default_rng(0).permutation(len(unpaired))[:100]]


@pytest.mark.slow
@pytest.mark.parametrize("name", _PLANTS)
def test_planted_among_real_images(name: str, real_images: list[UInt8Array]) -> None:
    _check(name, real_images)
