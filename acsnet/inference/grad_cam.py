"""Where the classifier looked: class-activation maps.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", ICCV 2017; for a
linear layer on global averages it is the class activation map of Zhou et al., "Learning Deep Features for
Discriminative Localization", CVPR 2016, up to a factor.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call

from acsnet._utils.naming import look_up
from acsnet.checkpoints.metadata import CheckpointMetadata
from acsnet.errors import InputError
from acsnet.inference.preprocessing import matching_autocast, prepare_images
from acsnet.layers import Encoder, GlobalAverage


def class_activation(
    model: nn.Module, images: torch.Tensor, class_index: int | torch.Tensor | None = None, layer: str | None = None
) -> torch.Tensor:
    """Show by Grad-CAM which parts of each image speak for a class.

    Each channel of the maps is weighted with the gradient of the class logit, summed over positions; the weighted
    channels are added up, interpolated linearly between where the maps' cells lie in the image, and cut off below zero.
    The maps are those that the classifier pools by :class:`acsnet.layers.GlobalAverage`, just before it does:

    - the encoder's last map for the encoder x decoder pairs, the bottleneck's for the U-Nets;
    - for nnunet the one map into which its head merges three;
    - for acsnet all three, after their channel attention, the coarse one enlarged. Pooling them equals pooling their
      concatenation, and what is shown is Grad-CAM at the concatenation.

    The gradient is summed where Selvaraju et al. average it: for maps of one size that changes nothing, and maps of
    several sizes count by what they add to the logit. For an ensemble, a module with the list ``members``, the result
    is the mean over its members, all asked for the same class.

    The network runs in evaluation mode and is left as it was: training modes, parameters, gradients, hooks. Whether the
    caller has gradients switched off does not matter.

    Args:
        model: a network of the zoo, or another that gives a ``MultiTaskOutput``.
        images: (B, C, H, W), normalized, on the network's device.
        class_index: the class to explain, one for all images or a tensor (B,); by default each image's most probable.
        layer: name, as in ``model.named_modules()``, of the module whose output, one map (B, C, h, w), is looked at
            instead; needed for a network of your own whose classifier pools in another way.

    Returns:
        (B, H, W) float32 in 0..1, the maximum of each map being 1; zero all over where nothing speaks for the class.

    Raises:
        InputError: for a network without the classification task, a class that it does not have, a network that pools
            in another way where no ``layer`` is given, and a layer that gives no such map or has no part in the logits.
        UnknownNameError: for a layer that the network does not have, with near matches.
    """
    # Copies: what was made in inference mode cannot take part in gradients.
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
    """Show which parts of images speak for a class; see :func:`class_activation`.

    Args:
        model: a network.
        card: what was done to its input in training.
        images: RGB, each (H, W, 3) uint8 of any size.
        class_index, layer: as of :func:`class_activation`.

    Returns:
        For each image (H, W) float32 in 0..1 at the image's own size.

    Raises:
        InputError, UnknownNameError: as :func:`class_activation`.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    maps = class_activation(model, prepare_images(images, metadata, device), class_index, layer).cpu().numpy()
    return [
        cv2.resize(heat, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        for image, heat in zip(images, maps, strict=True)
    ]


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
    with _evaluation(model), matching_autocast(model), _maps(model, layer) as maps:
        label = _class_logits(model, images)
        if not label.requires_grad:
            raise _no_maps(model, layer)
        seen = tuple(maps)
        logits = label.gather(1, _class_column(class_index, label))
        gradients = torch.autograd.grad(logits.sum(), seen, materialize_grads=True)
    heats = [_heat(*pair) for pair in zip(seen, gradients, strict=True)]
    on_pixel = _lies_on_pixel(model)
    heat = torch.stack([_spread(heat, images.shape[2:], on_pixel) for heat in heats]).sum(dim=0).relu()
    peak = heat.amax(dim=(1, 2), keepdim=True)
    return heat / torch.where(peak > 0, peak, 1)


def _no_maps(model: nn.Module, layer: str | None) -> InputError:
    name = type(model).__name__
    if layer is not None:
        return InputError(f"the class logits of {name} do not depend on layer {layer!r}: name another layer")
    return InputError(
        f"{name} has a classifier that does not pool by acsnet.layers.GlobalAverage, so it is not known which maps it "
        "looks at: name the module that gives them, as in layer='encoder' (model.named_modules() lists all)"
    )


def _class_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    # Parameters that ask for no gradient: so nothing that lies before the maps is kept for the backward pass.
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    _, label, _ = functional_call(model, parameters, (images,))
    if label is None:
        raise InputError(
            f"{type(model).__name__} has no classification task, so no class to explain: build or train it with tasks "
            "that include classification"
        )
    return label


def _class_column(class_index: int | torch.Tensor | None, label: torch.Tensor) -> torch.Tensor:
    """The class of each image, (B, 1)."""
    batch, classes = label.shape
    if class_index is None:
        return label.argmax(dim=1, keepdim=True)
    given = torch.as_tensor(class_index, device=label.device)
    if given.is_floating_point() or given.shape not in ((), (batch,)) or not ((given >= 0) & (given < classes)).all():
        raise InputError(
            f"class_index is {class_index!r}: give a whole number from 0 to {classes - 1}, or a tensor with one for "
            f"each of the {batch} images"
        )
    return given.long().expand(batch)[:, None]


def _heat(feature: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """What the positions of a map add to the logit, to first order: twice (B, C, h, w) -> (B, h, w)."""
    weights = gradient.float().sum(dim=(2, 3), keepdim=True)
    return (weights * feature.detach().float()).sum(dim=1)


def _spread(heat: torch.Tensor, size: Sequence[int], on_pixel: bool) -> torch.Tensor:
    """Interpolate between the cells of a map, linearly, from where they lie in the image: (B, h, w) -> (B, H, W)."""
    rows, columns = (
        _shares(length, cells, on_pixel, heat.device) for length, cells in zip(size, heat.shape[1:], strict=True)
    )
    with torch.autocast(heat.device.type, enabled=False):
        return rows @ heat @ columns.T


def _shares(length: int, cells: int, on_pixel: bool, device: torch.device) -> torch.Tensor:
    """How much of each cell each pixel has, (length, cells)."""
    stride = length / cells
    first = 0.0 if on_pixel else (stride - 1) / 2
    position = ((torch.arange(length, device=device) - first) / stride).clamp(0, cells - 1)
    return (1 - (position[:, None] - torch.arange(cells, device=device)).abs()).clamp(min=0)


def _lies_on_pixel(model: nn.Module) -> bool:
    """Whether cell i of a map of stride s is centered on pixel s * i, rather than amid pixels s * i to s * i + s - 1.

    The former holds for timm's encoders, whose strided convolutions have odd kernels and equal padding on both sides,
    the latter for 2x2 pooling. Taking one for the other moves everything by half a cell: 16 pixels at stride 32.
    """
    return any(isinstance(module, Encoder) for module in model.modules())


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards each module in its own again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _maps(model: nn.Module, layer: str | None) -> Iterator[list[torch.Tensor]]:
    """Collect the maps while the network runs, each made a leaf that asks for its gradient."""
    maps: list[torch.Tensor] = []

    def keep(feature: torch.Tensor) -> torch.Tensor:
        maps.append(feature.detach().requires_grad_())
        # A clone: what follows may work in place, which a leaf does not allow.
        return maps[-1].clone()

    def keep_inputs(_: nn.Module, features: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(keep(feature) for feature in features)

    def keep_output(_: nn.Module, __: object, feature: object) -> torch.Tensor:
        if not isinstance(feature, torch.Tensor) or feature.ndim != 4:
            what = tuple(feature.shape) if isinstance(feature, torch.Tensor) else f"a {type(feature).__name__}"
            raise InputError(f"layer {layer!r} gives {what}, needed is one map (batch, channels, height, width)")
        return keep(feature)

    if layer is None:
        pools = [module for module in model.modules() if isinstance(module, GlobalAverage)]
        handles = [pool.register_forward_pre_hook(keep_inputs) for pool in pools]
    else:
        module = look_up("layer", layer, dict(model.named_modules()), "model.named_modules() lists all")
        handles = [module.register_forward_hook(keep_output)]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
