"""Names -> builders: every network of the zoo, and the one way in which a name is looked up.

A network registers itself with :func:`register_model`; :func:`create_model` builds it, :func:`list_models` lists it.
"""

import copy
import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from acsnet._utils.naming import look_up
from acsnet.checkpoints import Checkpoint, load_weights, open_checkpoint
from acsnet.errors import InputError

TASKS = ("segmentation", "classification")


@dataclass(frozen=True)
class ModelEntry:
    """What the registry knows of a network.

    Args:
        name: the name given to :func:`create_model`.
        builder: called with ``num_classes, in_channels, encoder_weights, tasks`` and the network's own arguments.
        publication: authors, year and venue.
        adds: in a few words, what the network adds to those before it.
        input_size: the published input size (height, width).
        defaults: the network's own arguments that this name fixes; copied anew for each build.
    """

    name: str
    builder: Callable[..., nn.Module]
    publication: str
    adds: str
    input_size: tuple[int, int] = (256, 256)
    defaults: Mapping[str, Any] = field(default_factory=dict)


_ENTRIES: dict[str, ModelEntry] = {}
_LISTING = 'acsnet.list_models("*") lists all'


def register_model(
    name: str,
    *,
    publication: str,
    adds: str,
    input_size: tuple[int, int] = (256, 256),
    defaults: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Class or function decorator that puts a network into the zoo under ``name``; see :class:`ModelEntry`.

    Raises:
        ValueError: where the name is taken.
    """

    def register(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if name in _ENTRIES:
            raise ValueError(f"a network named {name!r} is registered already: choose another name")
        _ENTRIES[name] = ModelEntry(name, builder, publication, adds, input_size, dict(defaults or {}))
        return builder

    return register


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names that fit a wildcard pattern, as in ``list_models("deeplab*")``."""
    return sorted(fnmatch.filter(_ENTRIES, pattern))


def model_entry(name: str) -> ModelEntry:
    """Return the registry's entry of a network.

    Raises:
        UnknownNameError: with near matches.
    """
    return look_up("network", name, _ENTRIES, _LISTING)


def create_model(
    name: str,
    num_classes: int = 3,
    in_channels: int = 3,
    encoder_weights: str | None = None,
    tasks: Sequence[str] = TASKS,
    checkpoint: str | Path | Checkpoint | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a network of the zoo.

    Args:
        name: one of :func:`list_models`.
        num_classes: K, the number of classes of the class logits.
        in_channels: channels of the input images.
        encoder_weights: ``"imagenet"`` for timm's pre-trained weights, None for random ones.
        tasks: ``"segmentation"``, ``"classification"`` or both; the parts of a task left out are not built.
        checkpoint: a ``.safetensors`` file, or the name of a released checkpoint, whose weights are loaded; every key
            and shape has to fit.
        kwargs: the network's own arguments.

    Returns:
        A module that maps images (B, in_channels, H, W) to a ``MultiTaskOutput(mask, label, aux)``.

    Raises:
        UnknownNameError: for an unknown name of a network, of one of its arguments or of a released checkpoint, with
            near matches.
        InputError: for a number of classes or channels below 1, or tasks that are doubled, none or no sequence.
        CheckpointError: for a checkpoint that does not fit.
    """
    entry = model_entry(name)
    check_contract(num_classes, in_channels, tasks)
    parameters = inspect.signature(entry.builder).parameters
    for argument in kwargs:
        look_up(f"argument of {name}", argument, parameters, "")
    arguments = copy.deepcopy(dict(entry.defaults)) | kwargs
    # Weights that a checkpoint replaces need not be downloaded first.
    weights = None if checkpoint is not None else encoder_weights
    model = entry.builder(
        num_classes=num_classes, in_channels=in_channels, encoder_weights=weights, tasks=tuple(tasks), **arguments
    )
    if checkpoint is not None:
        load_weights(model, open_checkpoint(checkpoint).path)
    return model


def check_contract(num_classes: int, in_channels: int, tasks: Sequence[str]) -> None:
    """Check the arguments that every network takes.

    Raises:
        InputError: for a number of classes or channels below 1, or tasks that are doubled, none or no sequence.
        UnknownNameError: for an unknown task.
    """
    for what, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{what} is {value!r}: it has to be a whole number of at least 1")
    if isinstance(tasks, str) or not tasks or len(set(tasks)) != len(tasks):
        raise InputError(f"tasks is {tasks!r}: give a sequence of one or two of {', '.join(TASKS)}")
    for task in tasks:
        look_up("task", task, dict.fromkeys(TASKS), "")
