import cv2
import numpy as np
import pytest

from acsnet.curation.duplicates.candidates import propose_pairs
from acsnet.curation.duplicates.description import Description, describe
from acsnet.data.images import UInt8Array
from acsnet.phantom import make_phantom


def rgb(seed: int) -> UInt8Array:
    return cv2.cvtColor(make_phantom("benign", seed, (128, 128)).image, cv2.COLOR_GRAY2RGB)


@pytest.fixture(scope="module")
def phantoms() -> list[UInt8Array]:
    return [rgb(seed) for seed in range(40)]


def test_copies_crops_and_mirror_images_are_proposed(phantoms: list[UInt8Array]) -> None:
    changed = [phantoms[0].copy(), phantoms[1][20:110, 10:100], phantoms[2][:, ::-1], phantoms[3][20:110, 110:10:-1]]
    every = [describe(np.ascontiguousarray(image), None) for image in [*phantoms, *changed]]
    proposed = propose_pairs(every, progress=False)
    assert {(0, 40, False), (1, 41, False), (2, 42, True), (3, 43, True)} <= set(proposed)
    assert proposed == sorted(set(proposed))
    assert all(first < second for first, second, _ in proposed)
    assert propose_pairs(every, progress=False) == proposed


def test_the_number_of_pairs_grows_linearly(phantoms: list[UInt8Array]) -> None:
    every = [describe(image, None) for image in phantoms]
    assert len(propose_pairs(every, progress=False)) <= 17 * len(phantoms)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_pairs(count: int, phantoms: list[UInt8Array]) -> None:
    assert propose_pairs([describe(image, None) for image in phantoms[:count]], progress=False) == []


def test_flat_images_are_compared_by_their_thumbnails() -> None:
    flat: list[Description] = [describe(np.full((32, 32, 3), value, np.uint8), None) for value in (10, 10, 200)]
    assert (0, 1, False) in propose_pairs(flat, progress=False)
