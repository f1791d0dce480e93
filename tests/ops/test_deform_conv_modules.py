"""Deformable convolutions as layers: initial values, state dicts, and the same results as the operator."""

import inspect

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

import acsnet.ops
from acsnet.errors import InputError, UnknownNameError
from acsnet.ops import DeformConv2d, DeformConv2dPack, ModulatedDeformConv2dPack, deform_conv2d

LAYERS = [DeformConv2dPack, ModulatedDeformConv2dPack]


def stir(layer):
    """Set every parameter to values that are different and not zero."""
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return layer


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_starts_as_a_plain_convolution(layer, bias):
    convolution = layer(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2, deform_groups=2, bias=bias)
    input = images(2, 4, 9, 8)
    weight = convolution.weight if layer is DeformConv2dPack else convolution.weight / 2  # sigmoid(0)
    expected = functional.conv2d(input, weight, convolution.bias, (2, 1), 1, (1, 2), 2)
    torch.testing.assert_close(convolution(input), expected, rtol=1e-5, atol=1e-5)


def test_modulated_layer_is_the_operator_with_predicted_offsets_and_mask():
    layer = stir(ModulatedDeformConv2dPack(4, 6, 3, stride=2, padding=1, groups=2, deform_groups=2, bias=True))
    input = images(2, 4, 9, 8)
    mask = torch.sigmoid(layer.modulation(input))
    expected = deform_conv2d(input, layer.offset(input), layer.weight, layer.bias, 2, 1, 1, mask, "torchvision")
    torch.testing.assert_close(layer(input), expected, rtol=1e-5, atol=1e-5)


def test_plain_layer_is_the_operator_with_predicted_offsets():
    layer = stir(DeformConv2dPack(4, 6, 2, dilation=2))
    input = images(2, 4, 9, 8)
    expected = deform_conv2d(input, layer.offset(input), layer.weight, dilation=2, backend="torchvision")
    torch.testing.assert_close(layer(input), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "torch", "torchvision", "mmcv"])
def test_state_dict_does_not_depend_on_the_backend(backend):
    shapes = {
        name: tuple(value.shape)
        for name, value in ModulatedDeformConv2dPack(4, 6, 3, bias=False, backend=backend).state_dict().items()
    }
    assert shapes == {
        "weight": (6, 4, 3, 3),
        "offset.weight": (18, 4, 3, 3),
        "offset.bias": (18,),
        "modulation.weight": (9, 4, 3, 3),
        "modulation.bias": (9,),
    }


def test_state_dict_of_the_plain_layer():
    layer = DeformConv2dPack(4, 6, (1, 3), groups=2, deform_groups=4, bias=True)
    shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    assert shapes == {"weight": (6, 2, 1, 3), "bias": (6,), "offset.weight": (24, 4, 1, 3), "offset.bias": (24,)}


@pytest.mark.parametrize("layer", LAYERS)
def test_weights_start_as_published(layer):
    torch.manual_seed(0)
    convolution = layer(64, 32, 3, bias=True)
    bound = (64 * 9) ** -0.5  # of nn.Conv2d, for weight and bias
    for parameter in (convolution.weight, convolution.bias):
        assert 0.8 * bound < parameter.abs().max() <= bound
    predictors = list(convolution.children())
    assert len(predictors) == (1 if layer is DeformConv2dPack else 2)
    assert all(not parameter.any() for predictor in predictors for parameter in predictor.parameters())


@pytest.mark.parametrize("layer", LAYERS)
def test_reset_restores_the_initial_values(layer):
    convolution = stir(layer(4, 6, 3, bias=True))
    before = convolution.weight.clone()
    convolution.reset_parameters()
    assert not torch.equal(convolution.weight, before)
    assert all(not parameter.any() for predictor in convolution.children() for parameter in predictor.parameters())


@pytest.mark.parametrize("layer", LAYERS)
def test_every_parameter_learns_from_the_first_step(layer):
    convolution = layer(4, 6, 3, padding=1, bias=True)
    convolution(images(2, 4, 8, 8)).square().sum().backward()
    for name, parameter in convolution.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("layer", LAYERS)
def test_compiles_exports_and_runs_under_autocast(layer):
    convolution = stir(layer(4, 6, 3, padding=1)).eval()
    input = images(2, 4, 8, 8)
    expected = convolution(input)
    torch.compiler.reset()
    compiled = torch.compile(convolution, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(input), expected)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(convolution, (input,), dynamic_shapes=(batch,))
    more = images(5, 4, 8, 8)
    torch.testing.assert_close(program.module()(more), convolution(more))
    with torch.autocast("cpu", torch.bfloat16):
        output = convolution(input)
    assert output.dtype == torch.bfloat16
    assert (output - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("layer", LAYERS)
def test_onnx_computes_the_same_by_its_own_operators(layer, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    convolution = stir(layer(4, 6, 3, padding=1)).eval()
    shapes = ({0: "batch", 2: "height", 3: "width"},)
    with torch.no_grad():
        program = torch.onnx.export(
            convolution, (images(2, 4, 8, 9),), dynamic_shapes=shapes, dynamo=True, verbose=False
        )
    program.save(tmp_path / "layer.onnx")
    assert not {node.op_type for node in program.model.graph} & {"Loop", "SequenceInsert"}
    session = onnxruntime.InferenceSession(str(tmp_path / "layer.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 4, 8, 9), (3, 4, 5, 12)):
        input = images(*shape)
        (found,) = session.run(None, {session.get_inputs()[0].name: input.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), convolution(input), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, r"DeformConv2dPack: groups must divide in_channels, got groups=3 and in_channels=4"),
        ({"groups": 4}, r"DeformConv2dPack: groups must divide out_channels, got groups=4 and out_channels=6"),
        ({"groups": 0}, r"groups must divide in_channels, got groups=0"),
        ({"deform_groups": 3}, r"deform_groups must divide in_channels, got deform_groups=3 and in_channels=4"),
        ({"kernel_size": 0}, r"DeformConv2dPack: kernel_size must be one or two whole numbers of at least 1, got 0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size must be one or two whole numbers of at least 1, got \(3, 3, 3\)"),
        ({"stride": 0}, r"DeformConv2dPack: stride must be one or two whole numbers of at least 1, got 0"),
        (
            {"padding": (1, -1)},
            r"DeformConv2dPack: padding must be one or two whole numbers of at least 0, got \(1, -1\)",
        ),
        ({"dilation": 1.5}, r"DeformConv2dPack: dilation must be one or two whole numbers of at least 1, got 1.5"),
    ],
)
@pytest.mark.parametrize("layer", LAYERS)
def test_wrong_arguments_are_named(layer, arguments, message):
    with pytest.raises(InputError, match=message):
        layer(**({"in_channels": 4, "out_channels": 6, "kernel_size": 3} | arguments))


def test_unknown_backend():
    with pytest.raises(UnknownNameError, match=r"did you mean 'torch'"):
        DeformConv2dPack(4, 6, 3, backend="trch")


def test_repr_shows_the_arguments():
    text = repr(DeformConv2dPack(4, 6, (3, 1), deform_groups=2, backend="torch"))
    assert "4, 6, kernel_size=(3, 1), stride=(1, 1)" in text
    assert "deform_groups=2, bias=False, backend='torch'" in text


@pytest.mark.parametrize("layer", LAYERS)
def test_fx_records_one_node(layer):
    convolution = stir(layer(4, 6, 3, padding=1))
    traced = torch.fx.symbolic_trace(convolution)
    nodes = [node for node in traced.graph.nodes if node.target is deform_conv2d]
    assert len(nodes) == 1
    input = images(2, 4, 8, 8)
    torch.testing.assert_close(traced(input), convolution(input))


ARGUMENTS = {"stride": (2, 1), "padding": 1, "dilation": (1, 2), "groups": 2}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("modulated", [True, False])
def test_it_takes_the_place_of_the_layer_of_torchvision(bias, modulated):
    torch.manual_seed(1)
    theirs = torchvision.ops.DeformConv2d(4, 6, (3, 2), **ARGUMENTS, bias=bias)
    torch.manual_seed(1)
    ours = DeformConv2d(4, 6, (3, 2), **ARGUMENTS, bias=bias)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), "the same seed gives the same initial values"
    ours.load_state_dict(stir(theirs).state_dict())
    input, offset, mask = images(2, 4, 9, 8), images(2, 24, 5, 8), images(2, 12, 5, 8).sigmoid()
    given = (mask,) if modulated else ()
    torch.testing.assert_close(ours(input, offset, *given), theirs(input, offset, *given), rtol=1e-5, atol=1e-5)


def test_its_arguments_are_those_of_torchvision():
    theirs = inspect.signature(torchvision.ops.DeformConv2d).parameters
    ours = inspect.signature(DeformConv2d).parameters
    assert [*ours][: len(theirs)] == [*theirs]
    assert all(ours[name].default == parameter.default for name, parameter in theirs.items())
    called = inspect.signature(DeformConv2d.forward).parameters
    assert [*called] == [*inspect.signature(torchvision.ops.DeformConv2d.forward).parameters]


@pytest.mark.parametrize(("layer", "maps"), [(DeformConv2dPack, 2), (ModulatedDeformConv2dPack, 3)])
def test_state_dicts_of_mmcv_are_loaded(layer, maps):
    """In mmcv one convolution predicts all maps: the offsets, vertical and horizontal in turn, then the factors."""
    conv_offset = stir(nn.Conv2d(4, maps * 18, 3, padding=1))
    weight, bias = images(6, 2, 3, 3), images(6)
    mmcv = {"weight": weight, "bias": bias}
    mmcv |= {f"conv_offset.{key}": value for key, value in conv_offset.state_dict().items()}
    network = nn.Sequential(layer(4, 6, 3, padding=1, groups=2, deform_groups=2, bias=True))
    network.load_state_dict({f"0.{key}": value for key, value in mmcv.items()})
    input = images(2, 4, 8, 8)
    predicted = conv_offset(input)
    mask = predicted[:, 36:].sigmoid() if maps == 3 else None
    expected = deform_conv2d(input, predicted[:, :36], weight, bias, padding=1, mask=mask, backend="torchvision")
    torch.testing.assert_close(network(input), expected, rtol=1e-5, atol=1e-5)
    again = layer(4, 6, 3, padding=1, groups=2, deform_groups=2, bias=True)
    again.load_state_dict(network[0].state_dict())
    assert torch.equal(again(input), network(input)), "own state dicts as before"


def test_state_dicts_of_other_sizes_are_refused():
    layer = ModulatedDeformConv2dPack(4, 6, 3, bias=False)
    wrong = {"weight": layer.weight, "conv_offset.weight": images(18, 4, 3, 3), "conv_offset.bias": images(18)}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "modulation.weight"'):
        layer.load_state_dict(wrong)


@pytest.mark.parametrize("name", ["DeformConv2dPack", "ModulatedDeformConv2dPack"])
def test_the_layers_of_mmcv_compute_the_same(name):
    mmcv = pytest.importorskip("mmcv.ops", reason="mmcv is not installed")
    other = stir(getattr(mmcv, name)(4, 6, 3, padding=1))
    layer = getattr(acsnet.ops, name)(4, 6, 3, padding=1)
    layer.load_state_dict(other.state_dict())
    input = images(2, 4, 8, 8)
    torch.testing.assert_close(layer(input), other(input), rtol=1e-5, atol=1e-5)
