"""The losses of an epoch: exact sums, a check one step later, and no step that waits for its device."""

import math
import warnings

import pytest
import torch

from acsnet.training.loss_watch import LossWatch, NotFiniteError

CPU = torch.device("cpu")


def test_sums_are_those_of_python_s_floats() -> None:
    torch.manual_seed(0)
    losses = torch.randn(100, 2)
    watch = LossWatch(CPU, values=3)
    expected = [0.0, 0.0]
    for total, part in losses:
        watch.add(total, None, part)
        expected = [expected[0] + total.item(), expected[1] + part.item()]
    assert watch.sums.tolist() == [expected[0], 0.0, expected[1]]


def test_the_mean_is_that_of_the_steps_already_read() -> None:
    watch = LossWatch(CPU, values=1)
    assert watch.mean is None
    means = []
    for value in (1.0, 2.0, 6.0):
        watch.add(torch.tensor(value))
        means.append(watch.mean)
    watch.finish()
    assert [*means, watch.mean] == [None, 1.0, 1.5, 3.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_reported_in_the_next_step(value: float) -> None:
    watch = LossWatch(CPU, values=1)
    watch.add(torch.tensor(1.0))
    watch.add(torch.tensor(value))
    with pytest.raises(NotFiniteError, match=f"the loss of step 2 is {value}") as caught:
        watch.add(torch.tensor(1.0))
    assert caught.value.step == 2
    assert str(caught.value.value) == str(value)


def test_the_last_step_is_reported_at_the_end() -> None:
    watch = LossWatch(CPU, values=1)
    watch.add(torch.tensor(math.nan))
    with pytest.raises(NotFiniteError, match="the loss of step 1 is nan"):
        watch.finish()


def test_a_loss_keeps_no_graph() -> None:
    watch = LossWatch(CPU, values=2)
    loss = torch.ones((), requires_grad=True)
    watch.add(2 * loss, 3 * loss)
    assert not watch.sums.requires_grad


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_not_waited_for() -> None:
    watch = LossWatch(torch.device("cuda"), values=2)
    losses = torch.arange(8.0, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for loss in losses.unbind():
                watch.add(loss, None)
            watch.finish()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.sums.tolist() == [28.0, 0.0]
    assert watch.mean == 3.5
