"""torch.fx and torchvision's feature extraction on all networks of the zoo."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from acsnet import MultiTaskOutput, create_model, list_models
from acsnet.layers import Encoder, InstanceNorm2d
from acsnet.models import Ensemble

script = runpy.run_path(str(Path(__file__).parent / "update_snapshots.py"))
build_tiny = script["build_tiny"]
#: Full networks whose encoders or own layers are in no tiny network; tracing all takes a minute.
FAST = ("acsnet", "efficientnet_cbam", "unet_efficientnet_b4")
every_network = pytest.mark.parametrize("name", script["distinct_names"]())


def images(batch: int, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def run(network: nn.Module, batch: torch.Tensor) -> Any:
    with torch.inference_mode():
        return network(batch)


def assert_same(found: MultiTaskOutput, expected: MultiTaskOutput) -> None:
    assert type(found) is MultiTaskOutput
    torch.testing.assert_close(found.mask, expected.mask, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.label, expected.label, rtol=1e-3, atol=1e-4)
    assert len(found.aux) == len(expected.aux)


@every_network
def test_the_graph_computes_the_same_at_any_batch_and_size(name: str) -> None:
    network = build_tiny(name).eval()
    graph = torch.fx.symbolic_trace(network)
    for batch in (images(2), images(1, size=(96, 64))):
        assert_same(run(graph, batch), run(network, batch))


@pytest.mark.filterwarnings("ignore:.*nodes obtained by tracing:UserWarning")
@every_network
def test_maps_of_named_nodes_are_extracted(name: str) -> None:
    network = build_tiny(name).eval()
    training, evaluation = get_graph_node_names(network)
    assert training[0] == evaluation[0] == "images"
    convolutions = [node for node in evaluation if isinstance(dict(network.named_modules()).get(node), nn.Conv2d)]
    seen: list[torch.Tensor] = []
    network.get_submodule(convolutions[-1]).register_forward_hook(lambda *values: seen.append(values[-1]))
    extractor = create_feature_extractor(network, [convolutions[-1]]).eval()
    batch = images(2)
    (found,) = run(extractor, batch).values()
    seen.clear()  # the graph has the same layers
    run(network, batch)
    # Without a graph, a layer may be called once per image.
    torch.testing.assert_close(found, torch.cat(seen), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in list_models()]
)
def test_the_full_network_is_traced(name: str) -> None:
    with torch.device("meta"):
        graph = torch.fx.symbolic_trace(create_model(name).eval())
        assert graph(torch.empty(2, 3, 64, 96)).mask.shape == (2, 1, 64, 96)


@every_network
def test_the_graph_of_a_training_network_has_its_auxiliary_masks(name: str) -> None:
    network = build_tiny(name).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(0)
    found = torch.fx.symbolic_trace(network)(images(2))
    network.load_state_dict(before)
    torch.manual_seed(0)
    assert_same(found, network(images(2)))


def test_an_ensemble_is_traced() -> None:
    network = Ensemble([build_tiny("unet"), build_tiny("mt_unetpp")]).eval()
    assert_same(run(torch.fx.symbolic_trace(network), images(1)), run(network, images(1)))


@pytest.mark.parametrize("encoder", ["tf_mobilenetv3_small_minimal_100", "tf_efficientnet_b0", "mobilenetv3_small_050"])
@pytest.mark.parametrize("size", [(64, 96), (70, 45)])
def test_an_encoder_with_the_padding_of_tensorflow_is_traced(encoder: str, size: tuple[int, int]) -> None:
    network = Encoder(encoder).eval()
    batch = images(1, size=size)
    for found, expected in zip(run(torch.fx.symbolic_trace(network), batch), run(network, batch), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("affine", [True, False])
def test_instance_normalization_is_traced(affine: bool) -> None:
    layer = InstanceNorm2d(3, affine).eval()
    batch = 7 + 2 * images(2)
    torch.testing.assert_close(torch.fx.symbolic_trace(layer)(batch), layer(batch))
