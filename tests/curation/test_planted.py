"""Copies of known kinds, planted among images that have none: recall and precision of the search for duplicates.

``pytest tests/data/curation/test_planted.py -m "slow or not slow" -s`` prints the table.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from acsnet.curation.description import describe
from acsnet.curation.duplicates import find_duplicates
from acsnet.curation.findings import Pair
from acsnet.data import Record, read_busi
from acsnet.data.images import UInt8Array, pixel_digest, read_image
from acsnet.phantom import make_phantom

_Generator = np.random.Generator
# An image in, two that show the same out.
_Plant = Callable[[UInt8Array, _Generator], tuple[UInt8Array, UInt8Array]]


def _phantoms(count: int) -> list[UInt8Array]:
    """RGB phantoms of 256x256."""
    labels = ("benign", "malignant", "normal")
    made = [make_phantom(labels[index % 3], index).image for index in range(count)]
    return [cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) for image in made]


def _exact(image: UInt8Array, generator: _Generator) -> UInt8Array:
    return image


def _rescaled(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """0.4 to 0.8 times as large, stretched by up to 15 %."""
    scale, stretch = generator.uniform(0.4, 0.8), generator.uniform(0.85, 1.15)
    return cv2.resize(image, None, fx=scale, fy=scale * stretch, interpolation=cv2.INTER_AREA)


def _encoded(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """JPEG of quality 30 to 70."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(30, 71))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _brightness(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Gamma 0.7 to 1.4, gain 0.8 to 1.2, and up to 20 gray levels more or less, clipped."""
    values = 255 * (image / 255) ** generator.uniform(0.7, 1.4) * generator.uniform(0.8, 1.2)
    return np.clip(values + generator.uniform(-20, 20), 0, 255).astype(np.uint8)


def _cropped(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """60 to 85 % of each side."""
    height, width = (int(side * generator.uniform(0.6, 0.85)) for side in image.shape[:2])
    top = int(generator.integers(0, image.shape[0] - height + 1))
    left = int(generator.integers(0, image.shape[1] - width + 1))
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _captioned(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Three captions of ten letters."""
    marked, (height, width) = image.copy(), image.shape[:2]
    for _ in range(3):
        text = "".join(generator.choice(list("ABCDEFLRT123"), 10))
        place = int(generator.integers(0, width // 2)), int(generator.integers(20, height))
        cv2.putText(marked, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 700, (255, 255, 255), 2)
    return marked


def _calipers(image: UInt8Array, generator: _Generator) -> UInt8Array:
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


def _mirrored(image: UInt8Array, generator: _Generator) -> UInt8Array:
    return np.ascontiguousarray(image[:, ::-1])


def _framed(image: UInt8Array, generator: _Generator) -> tuple[UInt8Array, UInt8Array]:
    """Two windows of one scan: each shows a half that the other has not."""
    height, width = image.shape[:2]
    left, right = image[:, : int(width * 0.66)], image[int(height * 0.15) :, int(width * 0.34) :]
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


def _all_at_once(image: UInt8Array, generator: _Generator) -> UInt8Array:
    """Rescaled, marked, cropped, encoded and made brighter or darker."""
    for change in (_rescaled, _captioned, _calipers, _cropped, _encoded, _brightness):
        image = change(image, generator)
    return image


def _beside_the_original(change: Callable[[UInt8Array, _Generator], UInt8Array]) -> _Plant:
    return lambda image, generator: (image, change(image, generator))


_PLANTS: dict[str, _Plant] = {
    "exact": _beside_the_original(_exact),
    "rescaled": _beside_the_original(_rescaled),
    "re-encoded": _beside_the_original(_encoded),
    "brightness": _beside_the_original(_brightness),
    "cropped": _beside_the_original(_cropped),
    "captions": _beside_the_original(_captioned),
    "calipers": _beside_the_original(_calipers),
    "mirrored": _beside_the_original(_mirrored),
    "framed differently": _framed,
    "all at once": _beside_the_original(_all_at_once),
}


class _Score(NamedTuple):
    """How well planted pairs are found.

    Attributes:
        recall: share of the planted pairs that are found.
        precision: share of the pairs found that are planted.
        copies: share of those found that are called identical or copy, not overlap.
    """

    recall: float
    precision: float
    copies: float


def _measure(images: Sequence[UInt8Array], plant: _Plant, seed: int = 0) -> _Score:
    """Plant a copy of each image, search, and compare what is found with what was planted."""
    generator = np.random.default_rng(seed)
    planted = [plant(image, generator) for image in images]
    pairs = _search([pair[0] for pair in planted] + [pair[1] for pair in planted])
    right = [pair for pair in pairs if pair.second - pair.first == len(images)]
    copies = [pair for pair in right if pair.relation != "overlap"]
    return _Score(len(right) / len(images), len(right) / max(1, len(pairs)), len(copies) / max(1, len(right)))


def _search(images: Sequence[UInt8Array]) -> tuple[Pair, ...]:
    records = [
        Record(Path(), (), "benign", str(number), digest=pixel_digest(image)) for number, image in enumerate(images)
    ]
    return find_duplicates(records, [describe(image, None) for image in images], progress=False)


# What must be found, and of that called copies: by kind of change. Precision is to be 0.98 throughout.
_BARS = {
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
    score = _measure(images, _PLANTS[name])
    print(
        f"\n{name}, {len(images)} images: recall {score.recall:.3f}, precision {score.precision:.3f}, "
        f"of those found {score.copies:.3f} as copies"
    )
    recall, copies = _BARS[name]
    assert score.recall >= recall
    assert score.precision >= 0.98
    assert score.copies >= copies


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
    """100 real images of each of which nothing else is found among all."""
    images = [read_image(record.image) for record in read_busi(busi_root)]
    known = {number for pair in _search(images) for number in (pair.first, pair.second)}
    alone = [image for number, image in enumerate(images) if number not in known]
    return [alone[index] for index in np.random.default_rng(0).permutation(len(alone))[:100]]


@pytest.mark.slow
@pytest.mark.parametrize("name", _PLANTS)
def test_planted_among_real_images(name: str, real_images: list[UInt8Array]) -> None:
    _check(name, real_images)
