"""Layers of encoders, for learning rates that fall with the distance from the output."""

import re

from torch import nn

from acsnet.layers import Encoder, PooledFeatures
from acsnet.models._base import MultiTaskModel

_NUMBER = re.compile(r"\d+")


def encoder_distances(network: nn.Module) -> dict[str, int]:
    """Return how many layers before the end of its encoder each parameter of an encoder is: 1 for the last layer.

    Layers of networks of timm are those of timm's ``group_matcher``, which are its blocks, with all that is before the
    first one as a layer of its own. The levels of other encoders are their layers.

    Args:
        network: a network of the zoo; one that contains several has an encoder in each.

    Returns:
        The distances by the name of the parameter in the network; none for networks without a module ``encoder``.

    Example:
        >>> import acsnet
        >>> from acsnet.models._layers import encoder_distances
        >>> network = acsnet.create_model("unet", width=4, depth=2)
        >>> sorted(set(encoder_distances(network).values()))
        [1, 2, 3]
    """
    distances: dict[str, int] = {}
    for path, part in network.named_modules():
        encoder = getattr(part, "encoder", None) if isinstance(part, MultiTaskModel) else None
        if isinstance(encoder, nn.Module):
            numbers = _layer_numbers(encoder)
            layers = max(numbers.values()) + 1
            prefix = f"{path}.encoder." if path else "encoder."
            distances |= {prefix + name: layers - number for name, number in numbers.items()}
    return distances


def _layer_numbers(encoder: nn.Module) -> dict[str, int]:
    if isinstance(encoder, Encoder | PooledFeatures):
        return encoder.layer_numbers()
    found = {name: _NUMBER.search(name) for name, _ in encoder.named_parameters()}
    return {name: int(match[0]) if match else 0 for name, match in found.items()}
