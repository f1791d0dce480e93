import pytest
import torch
from torch import nn

from acsnet import create_model
from acsnet.errors import InputError
from acsnet.models import Ensemble, MultiTaskOutput


class Fixed(nn.Module):
    """Returns the same logits for any image."""

    def __init__(self, mask: float | None, label: list[float] | None, divisor: int = 1) -> None:
        super().__init__()
        self.mask, self.label, self.divisor = mask, label, divisor

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        mask = None if self.mask is None else torch.full((len(images), 1, *images.shape[2:]), self.mask)
        label = None if self.label is None else torch.tensor([self.label] * len(images))
        return MultiTaskOutput(mask, label, aux=() if mask is None else (mask,))


def test_probabilities_are_averaged() -> None:
    first, second = Fixed(mask=2.0, label=[1.0, -1.0, 0.0]), Fixed(mask=-1.0, label=[0.0, 3.0, 1.0])
    mask, label, aux = Ensemble([first, second])(torch.zeros(2, 3, 4, 4))
    expected = (torch.tensor(2.0, dtype=torch.float64).sigmoid() + torch.tensor(-1.0).double().sigmoid()) / 2
    torch.testing.assert_close(mask.sigmoid(), expected.float().expand(2, 1, 4, 4))
    probabilities = torch.tensor([[1.0, -1.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64).softmax(1).mean(0)
    torch.testing.assert_close(label.softmax(1), probabilities.float().expand(2, 3))
    assert aux == (), "further masks are for training"


def test_sizes_have_to_suit_every_member() -> None:
    assert Ensemble([Fixed(0.0, None, divisor=4), Fixed(0.0, None, divisor=6)]).divisor == 12


def test_certain_members_give_finite_logits() -> None:
    mask, label, _ = Ensemble([Fixed(300.0, [500.0, -500.0]), Fixed(400.0, [900.0, 0.0])])(torch.zeros(1, 3, 2, 2))
    assert mask.isfinite().all()
    assert label.isfinite().all()
    assert (mask > 250).all()


def test_one_member_is_itself() -> None:
    mask, label, _ = Ensemble([Fixed(1.5, [0.5, -2.0])])(torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(mask, torch.full((1, 1, 2, 2), 1.5))
    torch.testing.assert_close(label.softmax(1), torch.tensor([[0.5, -2.0]]).softmax(1))


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_a_task_left_out_is_none(task: str) -> None:
    is_segmentation = task == "segmentation"
    member = Fixed(1.0 if is_segmentation else None, None if is_segmentation else [0.0, 1.0])
    output = Ensemble([member, member])(torch.zeros(1, 3, 2, 2))
    assert (output.mask is None) != is_segmentation
    assert (output.label is None) == is_segmentation


def test_the_divisor_is_the_members() -> None:
    assert Ensemble([create_model("unet", width=4, depth=3)]).divisor == create_model("unet", width=4, depth=3).divisor
    assert Ensemble([Fixed(1.0, None, divisor=8)]).divisor == 8


def test_an_ensemble_needs_members() -> None:
    with pytest.raises(InputError, match=r"an ensemble needs at least one network: members is empty"):
        Ensemble([])
