"""Differences between two sets of named tensors, in words."""

from collections.abc import Mapping, Sequence
from typing import Protocol

_MAX_NAMED_KEYS = 3


class HasShape(Protocol):
    """A tensor, or a description of one."""

    @property
    def shape(self) -> Sequence[int]:
        """Its shape."""


def describe_differences(expected: Mapping[str, HasShape], found: Mapping[str, HasShape]) -> list[str]:
    """Describe missing, unexpected and misshapen tensors: one text per kind, which counts them and names the first.

    Example:
        >>> import torch
        >>> describe_differences({"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.zeros(3)})
        ['1 missing (b)', '1 with a different shape (a is (3,) and should be (2,))']
    """
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshapen = [
        f"{key} is {tuple(found[key].shape)} and should be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and tuple(found[key].shape) != tuple(value.shape)
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("with a different shape", misshapen))
    return [f"{len(keys)} {kind} ({_name_first(keys)})" for kind, keys in groups if keys]


def _name_first(keys: list[str]) -> str:
    return ", ".join(keys[:_MAX_NAMED_KEYS]) + (", ..." if len(keys) > _MAX_NAMED_KEYS else "")
