"""Tensors of PyTorch as arrays, so that metrics take both."""

from typing import Any

import numpy as np
import numpy.typing as npt


def to_array(values: Any) -> npt.NDArray[Any]:
    """Return an array, or a PyTorch tensor on any device with or without gradient, as an array.

    PyTorch is not imported: a tensor is recognized by its methods.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
    return np.asarray(values)
