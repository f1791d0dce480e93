"""The registry: from the name of a network to its builder.

A network registers itself with :func:`register_model`; :func:`create_model` builds it and :func:`list_models` lists it.
"""

import copy
import fnmatch
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from acsnet._utils.naming import look_up
from acsnet._utils.plugins import load_installed_plugins, look_up_registered
from acsnet._utils.registration import module_of, register
from acsnet.checkpoints import Checkpoint
from acsnet.errors import InputError
from acsnet.labels import TASKS
from acsnet.models._arguments import CONTRACT, Index, check_arguments
from acsnet.models._contract import Contract
from acsnet.models._transfer import load_fitting

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelEntry:
    """The registry's entry of a network.

    Attributes:
        name: name of the network for :func:`create_model`.
        builder: class or function that builds the network. It is called with ``num_classes``, ``in_channels``,
            ``tasks``, ``encoder_weights`` if the network is ``pretrained``, and the network's own arguments.
        publication: authors, year and venue.
        adds: contribution of the network, in a few words.
        input_size: published input size (height, width).
        arguments: types of the network's own arguments that choose its layers, by name, with their ranges as pydantic
            declares them. A checkpoint stores these, so that only they can come from a file.
        settings: names of own arguments that do not change the network's function, such as the backend of an operator.
            The values in a checkpoint are ignored.
        defaults: own arguments that this name fixes; copied for each build.
        pretrained: whether the encoder can start from pretrained weights, by the argument ``encoder_weights``.
        needs_normal_class: whether the network combines its tasks by the class "normal", whose index is its argument
            ``normal_index``, which is then declared without being in ``arguments``.
        contains: the own argument that names another network of the registry, whose own arguments are the argument
            ``arguments``; None for all other networks.
    """

    name: str
    builder: Callable[..., nn.Module]
    publication: str
    adds: str
    input_size: tuple[int, int] = (256, 256)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    needs_normal_class: bool = False
    contains: str | None = None

    @property
    def known_arguments(self) -> tuple[str, ...]:
        """Names of all arguments of :func:`create_model` that the network takes."""
        weights = ("encoder_weights",) if self.pretrained else ()
        return (*self.arguments, *self.settings, *weights, *Contract.__annotations__)


_ENTRIES: dict[str, ModelEntry] = {}
_KIND = "network"
_HINT = 'acsnet.list_models("*") lists all'


def register_model(
    name: str,
    *,
    publication: str,
    adds: str,
    input_size: tuple[int, int] = (256, 256),
    arguments: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    pretrained: bool = False,
    needs_normal_class: bool = False,
    contains: str | None = None,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Return a decorator that registers a class or function as a network; see :class:`ModelEntry` for the arguments.

    Raises:
        InputError: if the name is already registered.

    Example:
        >>> import torch
        >>> import acsnet
        >>> @acsnet.register_model("threshold", publication="an example", adds="nothing", arguments={"level": float})
        ... class Threshold(acsnet.MultiTaskModel):
        ...     divisor = 1
        ...
        ...     def __init__(self, level=0.5, **contract):
        ...         super().__init__(**contract)
        ...         self.level = level
        ...
        ...     def forward_tasks(self, images):
        ...         brightness = images.mean(dim=1, keepdim=True)
        ...         return acsnet.MultiTaskOutput(brightness - self.level, None)
        >>> model = acsnet.create_model("threshold", tasks=["segmentation"], level=0.3)
        >>> model(torch.zeros(1, 3, 4, 5)).mask.shape
        torch.Size([1, 1, 4, 5])
    """

    def add(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        entry = ModelEntry(
            name=name,
            builder=builder,
            publication=publication,
            adds=adds,
            input_size=input_size,
            arguments={**(arguments or {}), **({"normal_index": Index} if needs_normal_class else {})},
            settings=tuple(settings),
            defaults=dict(defaults or {}),
            pretrained=pretrained,
            needs_normal_class=needs_normal_class,
            contains=contains,
        )
        register(_KIND, name, entry, _ENTRIES, builder=builder)
        return builder

    return add


def list_models(pattern: str = "*") -> list[str]:
    """Return the sorted names of the networks that match a wildcard pattern, with those of installed plugins.

    Example:
        >>> import acsnet
        >>> acsnet.list_models("*unet")
        ['gated_unet', 'mt_nnunet', 'unet']
    """
    load_installed_plugins()
    return sorted(fnmatch.filter(_ENTRIES, pattern))


def model_entry(name: str) -> ModelEntry:
    """Return the registry's entry of a network.

    Raises:
        UnknownNameError: for an unknown name, with near matches.

    Example:
        >>> from acsnet.models import model_entry
        >>> entry = model_entry("mt_nnunet")
        >>> entry.input_size, entry.pretrained
        ((128, 128), False)
    """
    return look_up_registered(_KIND, name, _ENTRIES, _HINT)


def plugins_of(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules outside of this package that registered a network and the network that it contains.

    Args:
        name: name of the network.
        arguments: its arguments.

    Example:
        >>> from acsnet.models._registry import plugins_of
        >>> plugins_of("unet", {"width": 8})
        ()
    """
    contains = model_entry(name).contains
    names = [name, *([] if contains is None else [arguments.get(contains)])]
    modules = [module_of(_KIND, known) for known in names if known is not None]
    return tuple(dict.fromkeys(module for module in modules if module is not None))


def create_model(
    name: str,
    num_classes: int = 3,
    in_channels: int = 3,
    encoder_weights: str | Path | None = None,
    tasks: Sequence[str] = TASKS,
    checkpoint: str | Path | Checkpoint | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a network of the zoo.

    Args:
        name: name of the network; see :func:`list_models`.
        num_classes: K, the number of classes of the class logits. With 0, ``label`` is the features (B, D) that the
            last layer of the classifier would take.
        in_channels: number of channels of the input images.
        encoder_weights: ``"imagenet"`` for the pretrained weights of timm, the path of a file of weights, or None for
            random weights. ``acsnet.layers.pretrained_weights(model)`` returns their origin and normalization.
        tasks: ``"segmentation"``, ``"classification"`` or both; the parts of a task that is not listed are not built.
        checkpoint: released name, path or id on the Hugging Face Hub, as in ``acsnet.load_model``, which also rebuilds
            the network; here only the weights are loaded. Every tensor whose name and shape match is; the others, such
            as the last layer if the number of classes differs, start at random. One line of the log names them, and the
            network's attribute ``loaded`` lists them (:class:`~acsnet.models.LoadedWeights`). The pretrained weights of
            the encoder are then not loaded.
        kwargs: the network's own arguments.

    Returns:
        A module that maps images, float (B, in_channels, H, W), to a ``MultiTaskOutput(mask, label, aux)``.

    Raises:
        UnknownNameError: for an unknown network, argument, task or released checkpoint, with near matches.
        InputError: if ``num_classes`` is below 0 or ``in_channels`` below 1, if ``tasks`` is not a sequence, is empty
            or repeats a task, or if ``encoder_weights`` is set for a network without pretrained weights.
        CheckpointError: if the checkpoint or the file of encoder weights cannot be read, or is of another network:
            less than half of the weights of the encoder fit.
        DownloadError: if the encoder weights cannot be downloaded.

    Example:
        >>> import torch
        >>> import acsnet
        >>> model = acsnet.create_model("unet", num_classes=2, in_channels=1, width=8).eval()
        >>> mask, label, aux = model(torch.zeros(4, 1, 32, 48))
        >>> mask.shape, label.shape, aux
        (torch.Size([4, 1, 32, 48]), torch.Size([4, 2]), ())
    """
    entry = model_entry(name)
    for argument in kwargs:
        look_up(f"argument of {name}", argument, dict.fromkeys(entry.known_arguments), _listing(entry))
    arguments = {"num_classes": num_classes, "in_channels": in_channels, "tasks": tasks}
    arguments |= copy.deepcopy(dict(entry.defaults)) | kwargs
    # The weights of a checkpoint replace all others, so that these need not be downloaded.
    weights = None if checkpoint is not None else encoder_weights
    if entry.pretrained:
        arguments["encoder_weights"] = weights
    elif weights is not None:
        raise InputError(
            f"encoder_weights is {str(weights)!r}: {name} has no pretrained weights and starts from random ones; omit "
            "encoder_weights (in a configuration: --set model.encoder_weights=null)"
        )
    model = entry.builder(**arguments)
    if checkpoint is not None:
        loaded = load_fitting(model, checkpoint)
        model.loaded = loaded  # type: ignore[assignment]  # a plain attribute, no module
        if not loaded.is_complete:
            logger.warning("%s", loaded.summary)
    return model


def _listing(entry: ModelEntry) -> str:
    """Return how to declare arguments if an entry has none of its own, or "" to list the known ones."""
    if entry.arguments or entry.settings:
        return ""
    return (
        f"{entry.name} was registered without arguments of its own: register_model(..., arguments={{...}}) names them"
    )


def saved_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments of a network that a checkpoint names, and return those of :func:`create_model`.

    Only arguments that the registry declares are valid: none of them can name a file, a download or a backend.

    Args:
        name: name of the network.
        arguments: its arguments in the metadata.

    Returns:
        The arguments without the network's ``settings``, which are a choice of the machine on which it runs.

    Raises:
        UnknownNameError: for an unknown network or argument, with near matches.
        InputError: for a value of another type or out of range.

    Example:
        >>> from acsnet.models._registry import saved_arguments
        >>> saved_arguments("acsnet", {"encoder": "resnet18", "backend": "torch"})
        {'encoder': 'resnet18'}
    """
    entry = model_entry(name)
    chosen = {key: value for key, value in arguments.items() if key not in entry.settings}
    check_arguments(name, chosen, {**entry.arguments, **CONTRACT})
    if entry.contains is not None and chosen.get("arguments"):
        inner = model_entry(chosen[entry.contains] if entry.contains in chosen else entry.defaults[entry.contains])
        own = {key: value for key, value in chosen["arguments"].items() if key not in inner.settings}
        check_arguments(inner.name, own, inner.arguments)
        chosen["arguments"] = own
    return chosen
