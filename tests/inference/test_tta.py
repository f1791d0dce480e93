import numpy as np
import pytest
import torch

from acsnet import MultiTaskOutput
from acsnet.config import TestTimeAugmentationConfig
from acsnet.data import Framing
from acsnet.inference.tta import TTATransform, augment, deaugment, list_tta_transforms, mean_probabilities

SIZE = (64, 96)


def settings(**changes: object) -> TestTimeAugmentationConfig:
    return TestTimeAugmentationConfig.model_validate(changes)


def test_transforms_are_every_combination() -> None:
    assert list_tta_transforms(settings(), SIZE, 32) == (TTATransform(SIZE),)
    assert list_tta_transforms(settings(horizontal_flip=True), SIZE, 32) == (
        TTATransform(SIZE),
        TTATransform(SIZE, (-1,)),
    )
    transforms = list_tta_transforms(settings(horizontal_flip=True, vertical_flip=True, scales=[1, 1.6]), SIZE, 32)
    flips = [(), (-1,), (-2,), (-2, -1)]
    assert transforms == tuple(TTATransform(size, flip_dims) for size in (SIZE, (96, 160)) for flip_dims in flips)


@pytest.mark.parametrize(
    ("scale", "divisor", "expected"),
    [(0.5, 32, (32, 64)), (0.1, 32, (32, 32)), (1.1, 32, SIZE), (1.1, 1, (70, 106)), (2, 32, (128, 192))],
)
def test_scaled_sizes_are_those_the_network_takes(scale: float, divisor: int, expected: tuple[int, int]) -> None:
    assert list_tta_transforms(settings(scales=[scale]), SIZE, divisor) == (TTATransform(expected),)


def test_scales_with_the_same_size_are_merged() -> None:
    assert list_tta_transforms(settings(scales=[1, 1.1, 1.6]), SIZE, 32) == (
        TTATransform(SIZE),
        TTATransform((96, 160)),
    )


def test_the_size_itself_is_never_rounded() -> None:
    """The network itself checks whether it can take the size."""
    assert list_tta_transforms(settings(), (50, 70), 32) == (TTATransform((50, 70)),)


@pytest.mark.parametrize("flip_dims", [(), (-1,), (-2,), (-2, -1)])
def test_deaugment_undoes_augment(flip_dims: tuple[int, ...]) -> None:
    images = torch.rand(2, 1, 5, 7)
    transform = TTATransform((5, 7), flip_dims)
    expected = images.numpy()[..., :: -1 if -2 in flip_dims else 1, :: -1 if -1 in flip_dims else 1]
    assert np.array_equal(augment(transform, images).numpy(), expected)
    assert torch.equal(deaugment(transform, augment(transform, images), (5, 7)), images)


@pytest.mark.parametrize("size", [(10, 14), (3, 4)])
def test_a_scaled_mask_comes_back_at_the_right_place(size: tuple[int, int]) -> None:
    """A ramp stays a ramp, except at the border, and is flipped with its transform; values stay in 0..1."""
    ramp = torch.linspace(0, 1, size[1]).expand(1, 1, *size)
    back = deaugment(TTATransform(size), ramp, (5, 7))
    assert back.shape == (1, 1, 5, 7)
    assert (back.diff(dim=3) >= 0).all()
    # The centers of 7 columns, relative to the centers of the scaled columns.
    expected = (torch.arange(7) + 0.5) / 7 * size[1] / (size[1] - 1) - 0.5 / (size[1] - 1)
    torch.testing.assert_close(back[0, 0, 0, 2:5], expected[2:5], atol=0.02, rtol=0)
    torch.testing.assert_close(deaugment(TTATransform(size, (-1,)), ramp, (5, 7)), back.flip(3))
    assert (deaugment(TTATransform(size), torch.ones(1, 1, *size), (5, 7)) <= 1).all()


def pixelwise(images: torch.Tensor) -> MultiTaskOutput:
    """The mask logit of a pixel depends on that pixel only, the class logits on the histogram of the image."""
    means = images.double().mean(dim=(1, 2, 3)).float()
    return MultiTaskOutput(3 * images, torch.stack((means, -means, 2 * means), dim=1))


def test_a_pixelwise_network_predicts_the_same_for_every_transform() -> None:
    torch.manual_seed(0)
    # Integers, so that the mean does not depend on the order.
    images = torch.randint(-3, 4, (2, 1, *SIZE)).float()
    one = mean_probabilities([pixelwise], [TTATransform(SIZE)], {SIZE: images}, SIZE)
    transforms = list_tta_transforms(settings(horizontal_flip=True, vertical_flip=True), SIZE, 32)
    several = mean_probabilities([pixelwise] * 3, transforms, {SIZE: images}, SIZE)
    assert torch.equal(one[0], (3 * images).sigmoid())
    assert torch.equal(several[0], one[0])
    assert torch.equal(several[1], one[1])


def lesion_on_the_left(images: torch.Tensor) -> MultiTaskOutput:
    """Logits 0, 1, 2, ... from left to right for any image; the class depends on the first pixel."""
    columns = torch.arange(images.shape[3]).float().expand(len(images), 1, *images.shape[2:])
    first = images[:, 0, 0, 0]
    return MultiTaskOutput(columns, torch.stack((first, torch.zeros_like(first)), dim=1))


def test_the_mean_is_that_of_probabilities() -> None:
    """By hand: columns 0, 1, 2 and, flipped, 2, 1, 0; the first pixel of either side."""
    images = torch.tensor([[[[3.0, 0.0, -1.0]]]])
    transforms = list_tta_transforms(settings(horizontal_flip=True), (1, 3), 1)
    mask, label = mean_probabilities([lesion_on_the_left], transforms, {(1, 3): images}, (1, 3))
    p = 1 / (1 + np.exp(-np.array([0.0, 1.0, 2.0])))
    np.testing.assert_allclose(mask[0, 0, 0], (p + p[::-1]) / 2, rtol=1e-6)
    first = (1 / (1 + np.exp(-3.0)) + 1 / (1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(label[0], [first, 1 - first], rtol=1e-6)


def test_several_networks_and_scales_weigh_the_same() -> None:
    """Two networks without doubt, two sizes: 3 of 4 predictions are lesion."""

    def by_size(images: torch.Tensor) -> MultiTaskOutput:
        sign = 1 if images.shape[2] == 4 else -1
        return MultiTaskOutput(torch.full_like(images, sign * 200.0), None)

    def always(images: torch.Tensor) -> MultiTaskOutput:
        return MultiTaskOutput(torch.full_like(images, 200.0), None)

    transforms = list_tta_transforms(settings(scales=[1, 2]), (4, 6), 1)
    images_by_size = {(4, 6): torch.zeros(1, 1, 4, 6), (8, 12): torch.zeros(1, 1, 8, 12)}
    mask, label = mean_probabilities([by_size, always], transforms, images_by_size, (4, 6))
    assert torch.equal(mask, torch.full((1, 1, 4, 6), 0.75))
    assert label is None


def test_padding_moves_with_the_place_of_the_image() -> None:
    """The rounded places at two sizes are not in proportion: the image is moved to its place, not the whole mask."""
    frame = Framing(keep_aspect=True).frame(np.zeros((30, 71, 3), np.uint8), (64, 64))
    source = frame.at_size((80, 80)).place
    mask = torch.zeros(1, 1, 80, 80)
    mask[..., source.slices[0], source.slices[1]] = 1
    back = deaugment(TTATransform((80, 80)), mask, (64, 64), [frame])
    expected = torch.zeros(1, 1, 64, 64)
    expected[..., frame.place.slices[0], frame.place.slices[1]] = 1
    torch.testing.assert_close(back, expected)
    assert not back[expected == 0].any()


def test_frames_without_padding_change_nothing() -> None:
    mask = torch.rand(2, 1, 80, 96)
    frames = [Framing().frame(np.zeros((30, 71, 3), np.uint8), (64, 64))] * 2
    transform = TTATransform((80, 96), (-1,))
    assert torch.equal(deaugment(transform, mask, (64, 64), frames), deaugment(transform, mask, (64, 64)))
