"""Types and ranges of the arguments that the registry declares, and the check of those that a checkpoint names.

A checkpoint of somebody else may name anything. Its arguments choose a network, and nothing else: no file, no download,
and no amount of memory that its own tensors do not have.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from acsnet._utils.naming import look_up
from acsnet.config.bounds import Flag, PrintableName, Real, Whole
from acsnet.errors import InputError
from acsnet.labels import Task

Count = Annotated[Whole, Field(ge=1, le=65536)]
#: Number of repetitions of a block.
Repeats = Annotated[Whole, Field(ge=1, le=64)]
Index = Annotated[Whole, Field(ge=0, le=65536)]
Counts = Annotated[Sequence[Count], Field(max_length=16)]
RepeatsPerLevel = Annotated[Sequence[Repeats], Field(max_length=16)]
Rate = Annotated[Real, Field(ge=0, lt=1)]
#: Height and width in pixels.
ImageSize = Annotated[Sequence[Count], Field(min_length=2, max_length=2)]
# A name of timm, with or without the prefix "tu-" and the tag of its weights; no address of a hub or of a folder.
EncoderName = Annotated[str, Field(pattern=r"^(tu-)?[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$", max_length=100)]
Name = PrintableName
OwnArguments = dict[PrintableName, Any]

#: The arguments of :class:`~acsnet.models.Contract` that a checkpoint stores; the number of classes has its own entry.
CONTRACT: Mapping[str, Any] = {
    "in_channels": Count,
    "tasks": Annotated[Sequence[Task], Field(min_length=1, max_length=2)],
    "mask_pooling": Flag,
    "mask_pooling_gradient": Flag,
}
_MAX_SHOWN = 60


def check_arguments(network: str, arguments: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Check names, types and ranges of arguments.

    Args:
        network: name of the network, for messages.
        arguments: the values by name.
        declared: the type of each valid argument.

    Raises:
        UnknownNameError: for a name that is not declared, with near matches.
        InputError: for a value of another type or out of range.

    Example:
        >>> check_arguments("unet", {"width": 8}, {"width": Count})
        >>> check_arguments("unet", {"width": 0}, {"width": Count})
        Traceback (most recent call last):
        ...
        acsnet.errors.InputError: width is 0: Input should be greater than or equal to 1
    """
    for name, value in arguments.items():
        kind = look_up(f"argument of {network}", name, declared, "")
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            shown = repr(value)
            shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
            raise InputError(f"{name} is {shown}: {first['msg'].removeprefix('Value error, ')}") from error
