"""The deformable convolution as the operator DeformConv of ONNX, for runtimes that have it.

Measured in ONNX Runtime 1.32 on one core against PyTorch's operators, which older runtimes need: 0.89 of the time for
the released ``acsnet_busi`` at 128x128 and 0.96 for the full network at 256x256, with the same differences from PyTorch
(1e-7 and 8e-6), and half as many operators.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import torch
from torch import nn

from acsnet.ops import DeformConv2d

#: The first version with DeformConv is 19; this is the one that PyTorch writes by default.
DEFORM_CONV_OPSET = 20


def has_deform_conv(network: nn.Module) -> bool:
    """Return whether a network has deformable convolutions, and the installed ONNX Runtime can run DeformConv."""
    return any(isinstance(module, DeformConv2d) for module in network.modules()) and runs_deform_conv()


@cache
def runs_deform_conv() -> bool:
    """Return whether the installed ONNX Runtime can run DeformConv on a CPU, which 1.23, the oldest allowed, cannot."""
    import onnx
    import onnxruntime

    maps = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in {"x": (1, 1, 3, 3), "w": (1, 1, 1, 1), "offset": (1, 2, 3, 3), "y": (1, 1, 3, 3)}.items()
    ]
    node = onnx.helper.make_node("DeformConv", ["x", "w", "offset"], ["y"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "one", maps[:3], maps[3:]),
        opset_imports=[onnx.helper.make_opsetid("", DEFORM_CONV_OPSET)],
        ir_version=10,  # newer than in any file of this package would be refused by older runtimes
    )
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # the types of its errors are not documented
        return False
    return True


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what PyTorch's exporter writes for ``acsnet::deform_conv2d``, by operator.

    Positions outside of the image, modulation, groups and offset groups have the same meaning in both.
    """
    from onnxscript import FLOAT, opset20

    def deform_conv2d(
        input: FLOAT,
        offset: FLOAT,
        weight: FLOAT,
        bias: FLOAT | None,
        mask: FLOAT | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        dtype: int,
        backend: str,
    ) -> FLOAT:
        channels, offset_channels = (cast(Sequence[int], maps.shape)[1] for maps in (input, offset))
        _, group_channels, *kernel = cast(Sequence[int], weight.shape)
        return opset20.DeformConv(
            input,
            weight,
            offset,
            bias,
            mask,
            kernel_shape=kernel,
            strides=stride,
            pads=[*padding, *padding],
            dilations=dilation,
            group=channels // group_channels,
            offset_group=offset_channels // (2 * kernel[0] * kernel[1]),
        )

    return {torch.ops.acsnet.deform_conv2d.default: deform_conv2d}
