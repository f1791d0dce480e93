from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from acsnet.config import TransformConfig
from acsnet.data import Augmentation, CachedDataset, ImageCache, SeededSampler, build_loader, oversample, read_busi

MakeSet = Callable[..., Path]
SIZE = (16, 12)
LABELS = [0, 0, 0, 0, 0, 2, 2]


@pytest.fixture
def cache(make_set: MakeSet, tmp_path: Path) -> ImageCache:
    return ImageCache(read_busi(make_set(benign=5, normal=2)), SIZE, 3, tmp_path / "cache", progress=False)


def augmentation() -> Augmentation:
    steps = [
        {"name": "HorizontalFlip", "p": 0.5},
        {"name": "Affine", "rotate": [-30, 30], "p": 0.9},
        {"name": "GaussNoise"},
    ]
    return Augmentation([TransformConfig.model_validate(step) for step in steps], SIZE)


def test_items(cache: ImageCache) -> None:
    dataset = CachedDataset(cache, range(7), LABELS)
    assert len(dataset) == 7
    item = dataset[5, 123]
    assert set(item) == {"image", "mask", "label"}
    assert (item["image"].shape, item["image"].dtype) == ((16, 12, 3), torch.uint8)
    assert (item["mask"].shape, item["mask"].dtype) == ((1, 16, 12), torch.bool)
    assert (item["label"].shape, item["label"].dtype) == ((), torch.int64)
    for index in range(7):
        item = dataset[index, index]
        np.testing.assert_array_equal(item["image"].numpy(), cache.images[index])
        np.testing.assert_array_equal(item["mask"][0].numpy(), cache.masks[index])
        assert item["label"] == LABELS[index]


def test_indices_choose_from_the_cache(cache: ImageCache) -> None:
    dataset = CachedDataset(cache, [6, 2, 2], [2, 0, 1])
    assert len(dataset) == 3
    for position, index, label in ((0, 6, 2), (1, 2, 0), (2, 2, 1)):
        item = dataset[position, 0]
        np.testing.assert_array_equal(item["image"].numpy(), cache.images[index])
        np.testing.assert_array_equal(item["mask"][0].numpy(), cache.masks[index])
        assert item["label"] == label
    assert (cache.masks[2] != cache.masks[1]).any()


def test_items_are_copies(cache: ImageCache) -> None:
    dataset = CachedDataset(cache, range(7), LABELS)
    before = cache.images[0].copy()
    dataset[0, 0]["image"].zero_()
    dataset[0, 0]["mask"].zero_()
    np.testing.assert_array_equal(cache.images[0], before)
    assert dataset[0, 0]["mask"].any()


def test_the_seed_decides_the_augmentation(cache: ImageCache) -> None:
    augment = augmentation()
    dataset = CachedDataset(cache, range(7), LABELS, augment)
    for index, seed in ((0, 1), (3, 1), (3, 2)):
        item = dataset[index, seed]
        image, mask = augment(np.array(cache.images[index]), np.array(cache.masks[index]), seed)
        np.testing.assert_array_equal(item["image"].numpy(), image)
        np.testing.assert_array_equal(item["mask"][0].numpy(), mask)
        assert item["image"].is_contiguous()
    assert not torch.equal(dataset[3, 1]["image"], dataset[3, 2]["image"])


def test_one_channel(make_set: MakeSet, tmp_path: Path) -> None:
    cache = ImageCache(read_busi(make_set(benign=2)), SIZE, 1, tmp_path / "cache", progress=False)
    flip = Augmentation([TransformConfig(name="HorizontalFlip")], SIZE, channels=1)
    for augment in (None, flip):
        assert CachedDataset(cache, [0, 1], [0, 0], augment)[1, 0]["image"].shape == (16, 12, 1)


def drawn(sampler: SeededSampler, epoch: int) -> list[tuple[int, int]]:
    sampler.epoch = epoch
    return list(sampler)


def test_the_sampler_depends_on_seed_and_epoch_alone() -> None:
    one = SeededSampler(20, seed=3, shuffle=True)
    epochs = {epoch: drawn(one, epoch) for epoch in range(4)}
    torch.manual_seed(99)
    np.random.seed(99)
    # Straight into epoch 2, as after resuming; and again, and backwards.
    other = SeededSampler(20, seed=3, shuffle=True)
    for epoch in (2, 2, 0, 3, 1):
        assert drawn(other, epoch) == epochs[epoch]
    assert list(other) == list(other)


def test_each_epoch_and_each_seed_is_another() -> None:
    given = [drawn(SeededSampler(20, seed, True), epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert len({tuple(index for index, _ in one) for one in given}) == 9
    assert len({tuple(seed for _, seed in one) for one in given}) == 9


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_item_once_with_a_seed_of_its_own(shuffle: bool) -> None:
    sampler = SeededSampler(50, seed=0, shuffle=shuffle)
    given = drawn(sampler, 1)
    assert len(sampler) == len(given) == 50
    indices = [index for index, _ in given]
    assert sorted(indices) == list(range(50))
    assert (indices == list(range(50))) is not shuffle
    assert len({seed for _, seed in given}) == 50
    assert all(type(index) is int and type(seed) is int and 0 <= seed < 2**31 for index, seed in given)


def test_in_order_each_epoch_still_has_its_seeds() -> None:
    sampler = SeededSampler(10, seed=0, shuffle=False)
    first, second = drawn(sampler, 0), drawn(sampler, 1)
    assert [index for index, _ in first] == [index for index, _ in second]
    assert [seed for _, seed in first] != [seed for _, seed in second]


def test_items_are_the_same_with_and_without_workers(cache: ImageCache) -> None:
    epochs = {}
    for workers in (0, 2):
        sampler = SeededSampler(7, seed=5, shuffle=True)
        loader = build_loader(CachedDataset(cache, range(7), LABELS, augmentation()), sampler, 3, workers, False)
        epochs[workers] = []
        for epoch in (0, 1):
            sampler.epoch = epoch
            epochs[workers].append(list(loader))
    for alone, by_workers in zip(epochs[0], epochs[2], strict=True):
        assert [len(batch["label"]) for batch in alone] == [3, 3, 1]
        for one, other in zip(alone, by_workers, strict=True):
            for key in ("image", "mask", "label"):
                assert torch.equal(one[key], other[key]), key
    assert not torch.equal(epochs[0][0][0]["image"], epochs[0][1][0]["image"])


def test_batches(cache: ImageCache) -> None:
    dataset = CachedDataset(cache, range(7), LABELS)
    sampler = SeededSampler(7, seed=0, shuffle=False)
    whole = list(build_loader(dataset, sampler, 4, workers=0, drop_last=False))
    assert [batch["label"].tolist() for batch in whole] == [LABELS[:4], LABELS[4:]]
    assert whole[0]["image"].shape == (4, 16, 12, 3)
    assert whole[0]["mask"].shape == (4, 1, 16, 12)
    assert whole[0]["image"].dtype == torch.uint8
    assert whole[0]["mask"].dtype == torch.bool
    assert [len(batch["label"]) for batch in build_loader(dataset, sampler, 4, workers=0, drop_last=True)] == [4]


# --- oversampling ----------------------------------------------------------------------------------------------------


def test_oversampling_factors_by_hand() -> None:
    labels = ["benign"] * 10 + ["malignant"] * 4 + ["normal"] * 3
    chosen = Counter(labels[index] for index in oversample(labels))
    # 10 / 4 rounds to 2, 10 / 3 to 3.
    assert chosen == {"benign": 10, "malignant": 8, "normal": 9}


def test_every_image_of_a_class_is_repeated_equally_often() -> None:
    labels = ["a"] * 7 + ["b"] * 2
    times = Counter(oversample(labels))
    assert {times[index] for index in range(7)} == {1}
    # 3.5 rounds to the even 4.
    assert {times[index] for index in (7, 8)} == {4}


def test_the_published_oversampling() -> None:
    """Aumente-Maestro et al. 2025: 133, 98 and 38 images of a training fold become 266, 294 and 266."""
    labels = ["benign"] * 133 + ["malignant"] * 98 + ["normal"] * 38
    chosen = Counter(labels[index] for index in oversample(labels, "aumente2025"))
    assert chosen == {"benign": 266, "malignant": 294, "normal": 266}


def test_balanced_classes_are_not_oversampled() -> None:
    assert oversample(["a", "b", "b", "a"]) == [0, 1, 2, 3]


def test_oversampling_without_images() -> None:
    assert oversample([]) == []
