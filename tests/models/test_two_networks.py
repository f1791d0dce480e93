from typing import Any

import pytest
import torch
from torch import nn

import acsnet
from acsnet.errors import InputError, UnknownNameError
from acsnet.models import MultiTaskOutput, TwoNetworks, model_entry

SMALL = {"width": 4, "depth": 2}


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return acsnet.create_model("two_networks", **({"network": "unet", "arguments": SMALL} | arguments))


def images(channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, 32, 48, generator=torch.Generator().manual_seed(1))


def test_both_single_task_networks_of_aumente_et_al() -> None:
    with torch.device("meta"):
        model = acsnet.create_model("two_networks", in_channels=1, network="mt_unetpp")
    assert size_of(model.segmentation) == 2_410_180
    assert size_of(model.classification) == 13_741_131
    assert size_of(model) == 2_410_180 + 13_741_131


def test_both_single_task_networks_of_chung_et_al() -> None:
    with torch.device("meta"):
        model = acsnet.create_model("two_networks")
        expected = [acsnet.create_model("unet_resnet50", tasks=[task]) for task in acsnet.models.TASKS]
    assert size_of(model) == sum(map(size_of, expected))
    entry = model_entry("two_networks")
    assert (entry.input_size, entry.pretrained) == ((448, 448), True)


def test_it_computes_what_both_networks_compute() -> None:
    model = small(num_classes=5, in_channels=1).eval()
    batch = images(1)
    with torch.inference_mode():
        mask, label, aux = model(batch)
        assert torch.equal(mask, model.segmentation(batch).mask)
        assert torch.equal(label, model.classification(batch).label)
    assert (label.shape, aux) == ((2, 5), ())
    assert (model.segmentation.tasks, model.classification.tasks) == (("segmentation",), ("classification",))


def test_masks_for_deep_supervision_are_passed_on() -> None:
    model = small(network="mt_unetpp", arguments={"widths": [4] * 6}).train()
    output = model(images())
    assert [mask.shape for mask in output.aux] == [(2, 1, 32, 48)] * 3


@pytest.mark.parametrize(("field", "other"), [("mask", "classification"), ("label", "segmentation")])
def test_each_loss_reaches_its_own_network_only(field: str, other: str) -> None:
    model = small().train()
    getattr(model(images()), field).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(f"{other}."), name
    shared = {id(parameter) for parameter in model.segmentation.parameters()}
    assert not shared & {id(parameter) for parameter in model.classification.parameters()}


@pytest.mark.parametrize(("task", "missing"), [("segmentation", "label"), ("classification", "mask")])
def test_one_task_is_one_network(task: str, missing: str) -> None:
    model = small(tasks=[task])
    assert [name for name, _ in model.named_children()] == [task]
    output = model(images())
    assert type(output) is MultiTaskOutput
    assert getattr(output, missing) is None


def test_the_divisor_is_the_least_common_multiple() -> None:
    assert small().divisor == 4
    arguments = {"encoder": "mobilenetv3_small_050", "decoder_channels": [16]}
    # The segmentation network has 16, the classification network 32.
    assert small(network="deeplabv3plus_resnet50", arguments=arguments).divisor == 32
    with pytest.raises(InputError, match="the network needs multiples of 4; the nearest valid size is 32x48"):
        small()(torch.zeros(1, 3, 33, 48))


def test_pretrained_weights_are_asked_for_in_both_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    entry = model_entry("unet_resnet50")

    def build(**arguments: Any) -> nn.Module:
        asked.append((arguments["encoder_weights"], arguments["tasks"]))
        return entry.builder(**(arguments | {"encoder_weights": None}))

    monkeypatch.setitem(
        acsnet.models._registry._ENTRIES,
        "unet_resnet50",
        acsnet.models.ModelEntry(
            "unet_resnet50", build, "a paper", "nothing", arguments={"encoder": str}, pretrained=True
        ),
    )
    TwoNetworks(encoder_weights="imagenet", arguments={"encoder": "resnet18"})
    assert asked == [("imagenet", ("segmentation",)), ("imagenet", ("classification",))]


def test_pretrained_weights_of_a_network_that_has_none() -> None:
    message = r"encoder_weights is 'imagenet': unet has no pretrained weights and starts from random ones; omit"
    with pytest.raises(InputError, match=message):
        small(encoder_weights="imagenet")


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown network 'unet_resnet5': did you mean 'unet_resnet50'"):
        small(network="unet_resnet5")
    with pytest.raises(UnknownNameError, match=r"unknown argument of unet 'widht': did you mean 'width'"):
        small(arguments={"widht": 4})


def test_it_cannot_contain_itself() -> None:
    message = "network is 'two_networks': two_networks cannot contain itself; use another network of the zoo"
    with pytest.raises(InputError) as caught:
        small(network="two_networks", arguments=None)
    assert str(caught.value) == message


def test_arguments_that_are_no_mapping() -> None:
    message = r"arguments is \['width'\]: expected a mapping from names to values, those of unet"
    with pytest.raises(InputError, match=message):
        small(arguments=["width"])


@pytest.mark.parametrize("name", ["num_classes", "in_channels", "tasks", "encoder_weights", "checkpoint"])
def test_arguments_that_both_networks_are_given_anyway(name: str) -> None:
    with pytest.raises(InputError) as caught:
        small(arguments={name: 4})
    assert str(caught.value) == (
        f"arguments has {name!r}: two_networks passes it to both networks itself; give it to two_networks, and only "
        "unet's own arguments in arguments"
    )
