"""Optimizers by name: those of timm, and those that plugins register."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info
from timm.optim import list_optimizers as _list_optimizers_of_timm

from acsnet._utils.naming import look_up
from acsnet._utils.plugins import load_installed_plugins
from acsnet._utils.registration import register
from acsnet.errors import ConfigError

_Builder = TypeVar("_Builder", bound=Callable[..., torch.optim.Optimizer])

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {}


def register_optimizer(name: str) -> Callable[[_Builder], _Builder]:
    """Return a decorator that registers a class or function as an optimizer, for ``optimizer.name``.

    It is called with groups of parameters, each with its own ``weight_decay``, and with ``lr`` and
    ``optimizer.arguments`` as keywords.

    Args:
        name: its name in the configuration.

    Raises:
        InputError: if the name is already registered, or is one of timm's.

    Example:
        >>> import torch
        >>> import acsnet
        >>> @acsnet.register_optimizer("plain_descent")
        ... def plain_descent(groups, lr, **arguments):
        ...     return torch.optim.SGD(groups, lr=lr, **arguments)
        >>> "plain_descent" in acsnet.training.list_optimizers()
        True
    """

    def add(builder: _Builder) -> _Builder:
        register("optimizer", name, builder, _OPTIMIZERS, taken=_list_optimizers_of_timm())
        return builder

    return add


def list_optimizers() -> list[str]:
    """Return the sorted names of the optimizers, with those of installed plugins.

    Example:
        >>> from acsnet.training import list_optimizers
        >>> {"adam", "adamw", "sgd", "lion"} <= set(list_optimizers())
        True
    """
    load_installed_plugins()
    return sorted({*_OPTIMIZERS, *(name for name in _list_optimizers_of_timm() if _is_usable(name))})


def check_optimizer(name: str) -> None:
    """Check that an optimizer exists and that the training loop can use it.

    Raises:
        UnknownNameError: for an unknown name, with near matches.
        ConfigError: for an optimizer that needs second derivatives.
    """
    known = {*_OPTIMIZERS, *_list_optimizers_of_timm()}
    if name not in known:
        known |= {*list_optimizers()}
    look_up("optimizer", name, dict.fromkeys(known), "timm.optim.list_optimizers() lists those of timm")
    if name not in _OPTIMIZERS and not _is_usable(name):
        raise ConfigError(
            f"optimizer.name is {name}, which needs second derivatives; the training loop computes first ones only: "
            "choose another optimizer"
        )


def create_optimizer(
    name: str,
    groups: Sequence[Mapping[str, Any]],
    learning_rate: float,
    weight_decay: float,
    momentum: float,
    arguments: Mapping[str, Any],
) -> torch.optim.Optimizer:
    """Build an optimizer by its name.

    Args:
        name: a name of :func:`list_optimizers`.
        groups: groups of parameters, each with its own ``weight_decay``.
        learning_rate: learning rate.
        weight_decay: weight decay of groups without an own one.
        momentum: momentum of those optimizers of timm that have one.
        arguments: further arguments.

    Raises:
        UnknownNameError: for an unknown name, with near matches.
        ConfigError: if the optimizer cannot be built with the arguments, or needs second derivatives.
    """
    check_optimizer(name)
    try:
        if name in _OPTIMIZERS:
            return _OPTIMIZERS[name](groups, lr=learning_rate, **arguments)
        return create_optimizer_v2(
            groups, opt=name, lr=learning_rate, weight_decay=weight_decay, momentum=momentum, **arguments
        )
    # Optimizers raise these for unknown arguments, wrong types and ranges, and packages that are not installed.
    except (TypeError, ValueError, AssertionError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"the optimizer {name} cannot be built: {reason}{_list_arguments(name, error)}") from error


def _list_arguments(name: str, error: Exception) -> str:
    """Return the arguments of an optimizer if one of those given is unknown."""
    if not isinstance(error, TypeError):
        return ""
    builder = _OPTIMIZERS[name] if name in _OPTIMIZERS else get_optimizer_class(name, bind_defaults=False)
    known = ", ".join(parameter for parameter in list(inspect.signature(builder).parameters)[1:])
    return f"; optimizer.arguments may have: {known}"


def _is_usable(name: str) -> bool:
    return not get_optimizer_info(name).second_order
