"""Class-activation maps (Grad-CAM): image regions that support a class.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", ICCV 2017. For
a linear layer on global averages, Grad-CAM equals the class activation map of Zhou et al., "Learning Deep Features for
Discriminative Localization", CVPR 2016, up to a factor.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.func import functional_call

from acsnet._utils.naming import look_up
from acsnet.checkpoints import CheckpointMetadata
from acsnet.errors import InputError
from acsnet.inference.preprocessing import frame_images, matching_autocast, prepare_images
from acsnet.layers import Encoder, GlobalAverage, PooledFeatures


def class_activation(
    model: nn.Module, images: torch.Tensor, class_index: int | torch.Tensor | None = None, layer: str | None = None
) -> torch.Tensor:
    """Compute the Grad-CAM of a class for each image.

    Each channel of the feature maps is weighted with the gradient of the class logit, summed over positions. The
    weighted channels are summed, interpolated linearly to the size of the image, and negative values are set to zero.
    The feature maps are the inputs of :class:`acsnet.layers.GlobalAverage`, which the classifier pools:

    - the last map of the encoder for the encoder x decoder pairs;
    - the two deepest maps of the encoder and the deepest of the decoder for the U-Nets;
    - for mt_nnunet and mt_unetpp, the map into which its classification head merges three maps;
    - for acsnet, all three maps after their channel attention, the coarse one enlarged. Pooling them equals pooling
      their concatenation, and the result is the Grad-CAM of the concatenation.

    With ``mask_pooling``, the gradient of a channel is that of both of its averages; the weights of the mask count as
    constants.

    Selvaraju et al. average the gradient instead of summing it. For maps of one size the result is the same; maps of
    several sizes are weighted here by their contribution to the logit. The result for an ensemble, a module with the
    list ``members``, is the mean over its members, for the same class.

    The network runs in evaluation mode and is not changed: training modes, parameters, gradients and hooks stay as they
    were. The function also works inside ``torch.no_grad()`` and ``torch.inference_mode()``.

    Args:
        model: a network of the zoo, or another network that returns a ``MultiTaskOutput``.
        images: (B, C, H, W), normalized, on the device of the network.
        class_index: class to explain, one for all images or a tensor (B,); by default the most probable class of each
            image.
        layer: name of a module, as in ``model.named_modules()``, whose output (B, C, h, w) is used instead; required
            for a network whose classifier does not pool by ``GlobalAverage``.

    Returns:
        (B, H, W) float32 in 0..1. The maximum of each map is 1; a map without positive values is zero everywhere.

    Raises:
        InputError: if the network has no classification task, the class does not exist, ``layer`` is required but
            missing, or the layer does not return one map or does not contribute to the logits.
        UnknownNameError: if the network has no such layer; the message lists near matches.

    Example:
        >>> import torch
        >>> import acsnet
        >>> from acsnet.inference import class_activation
        >>> model = acsnet.create_model("unet", width=4, depth=2)
        >>> class_activation(model, torch.randn(2, 3, 32, 48), class_index=1).shape
        torch.Size([2, 32, 48])
    """
    # Copies: tensors created in inference mode cannot be used with gradients.
    with torch.inference_mode(False), torch.enable_grad():
        indices = class_index.clone() if isinstance(class_index, torch.Tensor) else class_index
        return _activation(model, images.detach().clone(), indices, layer)


def explain_images(
    model: nn.Module,
    metadata: CheckpointMetadata,
    images: Sequence[npt.NDArray[np.uint8]],
    class_index: int | torch.Tensor | None = None,
    layer: str | None = None,
) -> list[npt.NDArray[np.float32]]:
    """Compute the Grad-CAM of a class for images of any sizes; see :func:`class_activation`.

    Args:
        model: a network.
        metadata: metadata of the network: input size, framing, channels and normalization.
        images: RGB images, (H, W, 3) uint8 each, of any sizes.
        class_index: see :func:`class_activation`.
        layer: see :func:`class_activation`.

    Returns:
        (H, W) float32 in 0..1 per image, at the size of the image; 0 outside of the region to which it is cropped.

    Raises:
        InputError, UnknownNameError: see :func:`class_activation`.

    Example:
        >>> import acsnet
        >>> import numpy as np
        >>> from acsnet.checkpoints import CheckpointMetadata
        >>> from acsnet.inference import explain_images
        >>> from acsnet.phantom import make_phantom
        >>> model = acsnet.create_model("unet", width=4, depth=2)
        >>> metadata = CheckpointMetadata(
        ...     model="unet", arguments={"width": 4, "depth": 2}, class_names=("benign", "malignant", "normal"),
        ...     input_size=(32, 32), mean=(0.33,), std=(0.2,),
        ... )
        >>> image = np.dstack([make_phantom("malignant", seed=0, size=(96, 128)).image] * 3)
        >>> heat_map = explain_images(model, metadata, [image])[0]
        >>> heat_map.shape, bool((heat_map >= 0).all())
        ((96, 128), True)
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    frames = frame_images(images, metadata)
    prepared = prepare_images(images, metadata, device, frames=frames)
    maps = class_activation(model, prepared, class_index, layer).cpu().numpy()
    return [frame.to_image(heat_map) for frame, heat_map in zip(frames, maps, strict=True)]


def _activation(
    model: nn.Module, images: torch.Tensor, class_index: int | torch.Tensor | None, layer: str | None
) -> torch.Tensor:
    members = getattr(model, "members", None)
    if not isinstance(members, nn.ModuleList):
        return _network_activation(model, images, class_index, layer)
    if class_index is None:
        with _evaluation(model), matching_autocast(model):
            class_index = _class_logits(model, images).argmax(dim=1)
    return torch.stack([_activation(member, images, class_index, layer) for member in members]).mean(dim=0)


def _network_activation(
    model: nn.Module, images: torch.Tensor, class_index: int | torch.Tensor | None, layer: str | None
) -> torch.Tensor:
    with _evaluation(model), matching_autocast(model), _capture_maps(model, layer) as maps:
        label = _class_logits(model, images)
        if not label.requires_grad:
            raise _no_maps_error(model, layer)
        captured = tuple(maps)
        logits = label.gather(1, _class_column(class_index, label))
        gradients = torch.autograd.grad(logits.sum(), captured, materialize_grads=True)
    heat_maps = [_weigh(*pair) for pair in zip(captured, gradients, strict=True)]
    center = _cell_center(model)
    total = torch.stack([_interpolate(one, images.shape[2:], center) for one in heat_maps]).sum(dim=0).relu()
    peak = total.amax(dim=(1, 2), keepdim=True)
    return total / torch.where(peak > 0, peak, 1)


def _no_maps_error(model: nn.Module, layer: str | None) -> InputError:
    name = type(model).__name__
    if layer is not None:
        return InputError(f"the class logits of {name} do not depend on layer {layer!r}: name another layer")
    return InputError(
        f"the classifier of {name} does not pool by acsnet.layers.GlobalAverage, so its feature maps are unknown: name "
        "the module that returns them, as in layer='encoder' (model.named_modules() lists all)"
    )


def _class_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    # Parameters without gradients, so that no activation before the maps is stored for the backward pass.
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    _, label, _ = functional_call(model, parameters, (images,))
    if label is None:
        raise InputError(
            f"{type(model).__name__} has no classification task, so there is no class to explain: build or train it "
            "with tasks that include classification"
        )
    return label


def _class_column(class_index: int | torch.Tensor | None, label: torch.Tensor) -> torch.Tensor:
    """Return the class per image, (B, 1)."""
    batch, classes = label.shape
    if class_index is None:
        return label.argmax(dim=1, keepdim=True)
    index = torch.as_tensor(class_index, device=label.device)
    if index.is_floating_point() or index.shape not in ((), (batch,)) or not ((index >= 0) & (index < classes)).all():
        raise InputError(
            f"class_index is {class_index!r}: give an integer from 0 to {classes - 1}, or a tensor with one for "
            f"each of the {batch} images"
        )
    return index.long().expand(batch)[:, None]


def _weigh(feature: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the first-order contribution of each position to the logit: twice (B, C, h, w) -> (B, h, w)."""
    weights = gradient.float().sum(dim=(2, 3), keepdim=True)
    return (weights * feature.detach().float()).sum(dim=1)


def _interpolate(heat_map: torch.Tensor, size: Sequence[int], center: float) -> torch.Tensor:
    """Interpolate a map linearly between the positions of its cells in the image: (B, h, w) -> (B, H, W)."""
    rows, columns = (
        _interpolation_weights(length, cells, center, heat_map.device)
        for length, cells in zip(size, heat_map.shape[1:], strict=True)
    )
    with torch.autocast(heat_map.device.type, enabled=False):
        return rows @ heat_map @ columns.T


def _interpolation_weights(length: int, cells: int, center: float, device: torch.device) -> torch.Tensor:
    """Return the weight of each cell for each pixel, (length, cells)."""
    stride = length / cells
    first = center * (stride - 1)
    position = ((torch.arange(length, device=device) - first) / stride).clamp(0, cells - 1)
    return (1 - (position[:, None] - torch.arange(cells, device=device)).abs()).clamp(min=0)


def _cell_center(model: nn.Module) -> float:
    """Return which of the pixels s * i to s * i + s - 1 is the center of cell i of a map with stride s, from 0 to 1.

    It is the first one (0) for timm's encoders, whose strided convolutions have odd kernels and symmetric padding; the
    last one (1) for those with the padding of TensorFlow, at the bottom and right; the middle (0.5) for 2x2 pooling.
    Confusing them shifts the map by half a cell or a whole one: 16 or 32 pixels at stride 32.
    """
    encoders = [module for module in model.modules() if isinstance(module, (Encoder, PooledFeatures))]
    if not encoders:
        return 0.5
    return float(any(isinstance(module, Conv2dSame) for encoder in encoders for module in encoder.modules()))


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Run a block with the network in evaluation mode, then restore the mode of each module."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _capture_maps(model: nn.Module, layer: str | None) -> Iterator[list[torch.Tensor]]:
    """Collect the feature maps of a forward pass, each as a leaf that requires its gradient."""
    maps: list[torch.Tensor] = []

    def capture(feature: torch.Tensor) -> torch.Tensor:
        maps.append(feature.detach().requires_grad_())
        # A clone: the next layer may work in place, which is not allowed for a leaf.
        return maps[-1].clone()

    def capture_inputs(_: nn.Module, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(capture(feature) for feature in features)

    def capture_output(_: nn.Module, __: object, feature: object) -> torch.Tensor:
        if not isinstance(feature, torch.Tensor) or feature.ndim != 4:
            received = tuple(feature.shape) if isinstance(feature, torch.Tensor) else f"a {type(feature).__name__}"
            raise InputError(f"layer {layer!r} returns {received}, expected one map (batch, channels, height, width)")
        return capture(feature)

    if layer is None:
        pools = [module for module in model.modules() if isinstance(module, GlobalAverage)]
        handles = [pool.register_forward_pre_hook(capture_inputs) for pool in pools]
    else:
        module = look_up("layer", layer, dict(model.named_modules()), "model.named_modules() lists all")
        handles = [module.register_forward_hook(capture_output)]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
