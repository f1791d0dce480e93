import numpy as np
import pytest
import torch

from acsnet import MultiTaskOutput
from acsnet.config import TestTimeAugmentationConfig
from acsnet.inference.tta import View, bring_back, list_views, mean_probabilities, show

SIZE = (64, 96)


def settings(**changes: object) -> TestTimeAugmentationConfig:
    return TestTimeAugmentationConfig.model_validate(changes)


def test_views_are_every_combination() -> None:
    assert list_views(settings(), SIZE, 32) == (View(SIZE),)
    assert list_views(settings(horizontal_flip=True), SIZE, 32) == (View(SIZE), View(SIZE, (-1,)))
    views = list_views(settings(horizontal_flip=True, vertical_flip=True, scales=[1, 1.6]), SIZE, 32)
    flips = [(), (-1,), (-2,), (-2, -1)]
    assert views == tuple(View(size, flipped) for size in (SIZE, (96, 160)) for flipped in flips)


@pytest.mark.parametrize(
    ("scale", "divisor", "expected"),
    [(0.5, 32, (32, 64)), (0.1, 32, (32, 32)), (1.1, 32, SIZE), (1.1, 1, (70, 106)), (2, 32, (128, 192))],
)
def test_scaled_sizes_are_those_the_network_takes(scale: float, divisor: int, expected: tuple[int, int]) -> None:
    assert list_views(settings(scales=[scale]), SIZE, divisor) == (View(expected),)


def test_scales_that_come_to_one_size_are_one_view() -> None:
    assert list_views(settings(scales=[1, 1.1, 1.6]), SIZE, 32) == (View(SIZE), View((96, 160)))


def test_the_size_itself_is_never_rounded() -> None:
    """Whether a network takes it is the network's to say."""
    assert list_views(settings(), (50, 70), 32) == (View((50, 70)),)


@pytest.mark.parametrize("flipped", [(), (-1,), (-2,), (-2, -1)])
def test_what_is_shown_is_brought_back(flipped: tuple[int, ...]) -> None:
    images = torch.rand(2, 1, 5, 7)
    view = View((5, 7), flipped)
    expected = images.numpy()[..., :: -1 if -2 in flipped else 1, :: -1 if -1 in flipped else 1]
    assert np.array_equal(show(view, images).numpy(), expected)
    assert torch.equal(bring_back(view, show(view, images), (5, 7)), images)


@pytest.mark.parametrize("size", [(10, 14), (3, 4)])
def test_a_scaled_mask_comes_back_at_the_right_place(size: tuple[int, int]) -> None:
    """A ramp stays one, but for the border, and is mirrored with its view; values do not leave 0..1."""
    ramp = torch.linspace(0, 1, size[1]).expand(1, 1, *size)
    back = bring_back(View(size), ramp, (5, 7))
    assert back.shape == (1, 1, 5, 7)
    assert (back.diff(dim=3) >= 0).all()
    # The middles of 7 columns, among the middles of the view's.
    expected = (torch.arange(7) + 0.5) / 7 * size[1] / (size[1] - 1) - 0.5 / (size[1] - 1)
    torch.testing.assert_close(back[0, 0, 0, 2:5], expected[2:5], atol=0.02, rtol=0)
    torch.testing.assert_close(bring_back(View(size, (-1,)), ramp, (5, 7)), back.flip(3))
    assert (bring_back(View(size), torch.ones(1, 1, *size), (5, 7)) <= 1).all()


def pixelwise(images: torch.Tensor) -> MultiTaskOutput:
    """What it says of a pixel depends on that pixel alone; the class on how many are of which value."""
    means = images.double().mean(dim=(1, 2, 3)).float()
    return MultiTaskOutput(3 * images, torch.stack((means, -means, 2 * means), dim=1))


def test_a_pixelwise_network_says_the_same_of_every_view() -> None:
    torch.manual_seed(0)
    # Whole numbers, so that the mean does not depend on the order.
    images = torch.randint(-3, 4, (2, 1, *SIZE)).float()
    one = mean_probabilities([pixelwise], [View(SIZE)], {SIZE: images}, SIZE)
    views = list_views(settings(horizontal_flip=True, vertical_flip=True), SIZE, 32)
    several = mean_probabilities([pixelwise] * 3, views, {SIZE: images}, SIZE)
    assert torch.equal(one[0], (3 * images).sigmoid())
    assert torch.equal(several[0], one[0])
    assert torch.equal(several[1], one[1])


def lesion_on_the_left(images: torch.Tensor) -> MultiTaskOutput:
    """Logits 0, 1, 2, ... from left to right whatever it sees; class by the first pixel."""
    columns = torch.arange(images.shape[3]).float().expand(len(images), 1, *images.shape[2:])
    first = images[:, 0, 0, 0]
    return MultiTaskOutput(columns, torch.stack((first, torch.zeros_like(first)), dim=1))


def test_the_mean_is_that_of_probabilities() -> None:
    """By hand: columns 0, 1, 2 and, mirrored, 2, 1, 0; the first pixel and that of the other side."""
    images = torch.tensor([[[[3.0, 0.0, -1.0]]]])
    views = list_views(settings(horizontal_flip=True), (1, 3), 1)
    mask, label = mean_probabilities([lesion_on_the_left], views, {(1, 3): images}, (1, 3))
    p = 1 / (1 + np.exp(-np.array([0.0, 1.0, 2.0])))
    np.testing.assert_allclose(mask[0, 0, 0], (p + p[::-1]) / 2, rtol=1e-6)
    first = (1 / (1 + np.exp(-3.0)) + 1 / (1 + np.exp(1.0))) / 2
    np.testing.assert_allclose(label[0], [first, 1 - first], rtol=1e-6)


def test_several_networks_and_scales_weigh_the_same() -> None:
    """Two networks that are certain, two sizes: 3 of 4 opinions say lesion."""

    def by_size(images: torch.Tensor) -> MultiTaskOutput:
        sign = 1 if images.shape[2] == 4 else -1
        return MultiTaskOutput(torch.full_like(images, sign * 200.0), None)

    def always(images: torch.Tensor) -> MultiTaskOutput:
        return MultiTaskOutput(torch.full_like(images, 200.0), None)

    views = list_views(settings(scales=[1, 2]), (4, 6), 1)
    inputs = {(4, 6): torch.zeros(1, 1, 4, 6), (8, 12): torch.zeros(1, 1, 8, 12)}
    mask, label = mean_probabilities([by_size, always], views, inputs, (4, 6))
    assert torch.equal(mask, torch.full((1, 1, 4, 6), 0.75))
    assert label is None
