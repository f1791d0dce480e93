"""Recognition of tracing, during which sizes are symbols and checks of them are left out."""

import torch


def is_traced(value: object) -> bool:
    """Return whether a value is followed by torch.compile, torch.export or torch.fx instead of being computed.

    Example:
        >>> is_traced(torch.zeros(1))
        False
    """
    return torch.compiler.is_compiling() or isinstance(value, torch.fx.Proxy)
