"""Two networks side by side: one for the mask, one for the class, without shared weights.

The baseline of multi-task networks: "two single-task networks" of Chung et al., "Beyond Traditional Approaches:
Multi-Task Network for Breast Ultrasound Diagnosis", arXiv 2401.07326, 2024, and "ST both" of Aumente-Maestro et al.,
Computer Methods and Programs in Biomedicine 260, 108540, 2025.

::

    images --+-- network, segmentation alone ------ mask logits
             |
             +-- network, classification alone ---- class logits

The argument of Chung et al. for one network is its cost: two networks encode each image twice, which takes more time
and more memory. ``python -m benchmarks tasks`` measures the time. ``unet_resnet50`` has 32.5 million parameters with
one encoder and 56.0 million as two networks. The argument of Aumente-Maestro et al. is quality: tasks that share an
encoder can learn from each other. To see the effect of sharing, compare a network with this one, with the same
``network``.

Both losses are independent of each other: training both networks in one run equals two runs, except for the order of
random numbers and the choice of one best epoch for both.
"""

from collections.abc import Mapping, Sequence
from math import lcm
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from typing_extensions import Unpack

from acsnet.errors import InputError
from acsnet.models._arguments import Name, OwnArguments
from acsnet.models._base import MultiTaskModel, MultiTaskOutput
from acsnet.models._contract import Contract
from acsnet.models._registry import create_model, model_entry, register_model

_NAME = "two_networks"
_OWN_ARGUMENTS = ("num_classes", "in_channels", "tasks", "encoder_weights", "checkpoint")


@register_model(
    _NAME,
    publication="Chung et al. 2024, arXiv 2401.07326 (baseline)",
    adds="two single-task networks side by side, the baseline of multi-task networks",
    input_size=(448, 448),
    arguments={"network": Name, "arguments": OwnArguments | None},
    contains="network",
    defaults={"network": "unet_resnet50"},
    pretrained=True,
)
class TwoNetworks(MultiTaskModel):
    """Two single-task networks of one kind side by side; see the module.

    Args:
        network: name of the network of the zoo that is built twice, once per task.
        arguments: the network's own arguments, passed to both.
        encoder_weights: ``"imagenet"`` or a file of pretrained weights for both encoders; None for random ones.
        contract: ``num_classes``, ``in_channels`` and ``tasks``; see :class:`~acsnet.models.MultiTaskModel`. Only the
            networks of these tasks are built.

    Attributes:
        divisor: least common multiple of both networks' divisors.

    Raises:
        UnknownNameError: for an unknown network or argument of it, with near matches.
        InputError: if ``network`` is this one, ``arguments`` is not a mapping or has an argument that this network
            sets, ``encoder_weights`` is set for a network without pretrained weights, or a network refuses a value.

    Example:
        >>> import torch
        >>> from acsnet.models import TwoNetworks
        >>> model = TwoNetworks("unet", {"width": 4, "depth": 2}).eval()
        >>> output = model(torch.zeros(1, 3, 32, 48))
        >>> output.mask.shape, output.label.shape
        (torch.Size([1, 1, 32, 48]), torch.Size([1, 3]))
    """

    def __init__(
        self,
        network: str = "unet_resnet50",
        arguments: Mapping[str, Any] | None = None,
        encoder_weights: str | Path | None = None,
        **contract: Unpack[Contract],
    ) -> None:
        super().__init__(**contract)
        if network == _NAME:
            raise InputError(f"network is {_NAME!r}: {_NAME} cannot contain itself; use another network of the zoo")
        model_entry(network)
        _check_arguments(network, arguments)

        def build(task: str) -> nn.Module:
            return create_model(
                network, self.num_classes, self.in_channels, encoder_weights, (task,), **dict(arguments or {})
            )

        if self.has_mask:
            self.segmentation = build("segmentation")
        if self.has_label:
            self.classification = build("classification")
        self.image_size = next(getattr(child, "image_size", None) for child in self.children())
        self.divisor = lcm(*(int(getattr(child, "divisor", 1)) for child in self.children()))

    def encode(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the maps of the encoder of the classification network, or of the only network."""
        return cast(MultiTaskModel, self.classification if self.has_label else self.segmentation).encode(images)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer of the classification network; see :class:`~acsnet.models.MultiTaskModel`."""
        self._check_reset(num_classes)
        cast(MultiTaskModel, self.classification).reset_classifier(num_classes)
        self._forget_classes(num_classes)

    def forward_tasks(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, in_channels, H, W) to mask logits (B, 1, H, W), class logits (B, K) and auxiliary masks."""
        mask = label = None
        aux: tuple[torch.Tensor, ...] = ()
        if self.has_mask:
            mask, _, aux = self.segmentation(images)
        if self.has_label:
            _, label, _ = self.classification(images)
        return MultiTaskOutput(mask, label, aux)


def _check_arguments(network: str, arguments: object) -> None:
    if arguments is None:
        return
    if not isinstance(arguments, Mapping):
        raise InputError(f"arguments is {arguments!r}: expected a mapping from names to values, those of {network}")
    for name in _OWN_ARGUMENTS:
        if name in arguments:
            raise InputError(
                f"arguments has {name!r}: {_NAME} passes it to both networks itself; give it to {_NAME}, and only "
                f"{network}'s own arguments in arguments"
            )
