from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import acsnet
from acsnet.errors import UnknownNameError
from acsnet.layers import DeformableSpatialAttention
from acsnet.models import _registry
from acsnet.models._summary import ModelSummary, markdown_table, plain_table, select_models, summarize


class Small(acsnet.MultiTaskModel):
    divisor = 1

    def __init__(self, **contract: Any) -> None:
        super().__init__(**contract)
        self.encoder = nn.Conv2d(self.in_channels, 8, 3, stride=2, padding=1, bias=False)
        self.mask = nn.ConvTranspose2d(8, 1, 2, stride=2)
        self.label = nn.Linear(8, self.num_classes)

    def forward_tasks(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        x = self.encoder(images)
        return acsnet.MultiTaskOutput(self.mask(x), self.label(x.mean(dim=(2, 3))))


@pytest.fixture
def small_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of two networks."""
    monkeypatch.setattr(_registry, "_ENTRIES", {})
    for name in ("small", "also_small"):
        acsnet.register_model(name, publication="Somebody 2024", adds="nothing")(Small)


def test_patterns_select() -> None:
    assert select_models([]) == acsnet.list_models()
    assert select_models(["fpn_resnet*", "acsnet", "fpn_*"]) == ["acsnet", *acsnet.list_models("fpn_*")]


@pytest.mark.parametrize("pattern", ["deeplbv3plus*", "acsnt"])
def test_a_pattern_that_fits_nothing_has_near_matches(pattern: str) -> None:
    with pytest.raises(UnknownNameError, match=r"': did you mean '(deeplabv3plus_|acsnet')") as caught:
        select_models(["unet_*", pattern])
    assert str(caught.value).startswith(f"unknown network '{pattern}'")
    assert "acsnet models lists all" in str(caught.value)


@pytest.mark.usefixtures("small_zoo")
def test_what_is_counted() -> None:
    summary = summarize("small")
    # A multiplication and its addition are two operations; biases are not counted.
    encoder = 2 * 128 * 128 * 8 * 3 * 9
    mask = 2 * 128 * 128 * 8 * 4
    label = 2 * 8 * 3
    assert summary == ModelSummary(
        "small", "Somebody 2024", "nothing", 8 * 3 * 9 + (8 * 4 + 1) + (8 * 3 + 3), encoder + mask + label
    )


def test_counts_of_a_real_network() -> None:
    network = acsnet.create_model("fpn_resnet50")
    assert summarize("fpn_resnet50").parameters == sum(parameter.numel() for parameter in network.parameters())
    with pytest.raises(UnknownNameError, match="unknown network 'fpn_resnet5'"):
        summarize("fpn_resnet5")


def test_deformable_convolutions_are_counted_without_their_gather() -> None:
    with torch.device("meta"):
        module = DeformableSpatialAttention(16)
        images = torch.empty(1, 16, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    products = sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 4)
    assert counter.get_total_flops() == 2 * products * 32 * 32


SUMMARIES = [
    ModelSummary("small", "Somebody 2024", "nothing", 1_234_567, 12_340_000_000),
    ModelSummary("a_longer_name", "A. 2024", "much", 98_765_432, 560_000_000),
]


def test_plain_table_is_aligned() -> None:
    header, first, second = plain_table(SUMMARIES).splitlines()
    assert header == "name           publication    parameters (M, K=3)  GFLOPs at 256x256  what it adds"
    assert first == "small          Somebody 2024                 1.23               12.3  nothing"
    assert second == "a_longer_name  A. 2024                      98.77                0.6  much"


def test_markdown_table() -> None:
    assert markdown_table(SUMMARIES).splitlines() == [
        "| name | publication | parameters (M, K=3) | GFLOPs at 256x256 | what it adds |",
        "| --- | --- | ---: | ---: | --- |",
        "| `small` | Somebody 2024 | 1.23 | 12.3 | nothing |",
        "| `a_longer_name` | A. 2024 | 98.77 | 0.6 | much |",
    ]
