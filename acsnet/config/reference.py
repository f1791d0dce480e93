"""The keys of a configuration with their types, defaults and descriptions, read from the sections."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from acsnet._utils.naming import look_up
from acsnet.config.bounds import NumberOrWord
from acsnet.config.schema import Config

#: The mark of a key without a default.
REQUIRED = "required"
_ITEMS = "[]"
_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path", Any: "any value"}
_PLURALS = {bool: "true or false", int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}


@dataclass(frozen=True)
class KeyEntry:
    """A key of the configuration.

    Attributes:
        key: the dotted key; ``[]`` follows the name of a list of sections.
        type: its values in words, with their range or choices.
        default: its default in YAML, "required", or "" for a section whose keys have defaults.
        description: the description.
        is_section: whether it is a section, or a list of sections, whose keys follow.
    """

    key: str
    type: str
    default: str
    description: str
    is_section: bool = False


def list_keys(patterns: Sequence[str] = ()) -> list[KeyEntry]:
    """List the keys of a configuration in the order of the sections.

    Args:
        patterns: dotted keys or wildcard patterns, as in ``training.*``; all keys by default. The name of a section
            selects its keys, too.

    Raises:
        UnknownNameError: if a pattern matches no key; the message has near matches.

    Example:
        >>> from acsnet.config import list_keys
        >>> (entry,) = list_keys(["training.epochs"])
        >>> entry.type, entry.default, entry.description
        ('whole number of at least 1', '90', 'Number of epochs.')
    """
    entries = [*_walk(Config)]
    chosen: set[str] = set()
    for pattern in patterns:
        found = [entry.key for entry in entries if _matches(entry.key, pattern)]
        if not found:
            look_up("key", pattern, {entry.key: entry for entry in entries}, "`acsnet configs --keys` lists all")
        chosen.update(found)
    return [entry for entry in entries if not patterns or entry.key in chosen]


def describe_keys(patterns: Sequence[str] = ()) -> str:
    """Return the keys as text for a terminal: two lines per key.

    Args:
        patterns: see :func:`list_keys`.

    Raises:
        UnknownNameError: see :func:`list_keys`.

    Example:
        >>> from acsnet.config import describe_keys
        >>> print(describe_keys(["training.epochs"]))
        training.epochs: whole number of at least 1 (default: 90)
            Number of epochs.
    """
    lines = []
    for entry in list_keys(patterns):
        default = entry.default if entry.default in ("", REQUIRED) else f"default: {entry.default}"
        lines.append(f"{entry.key}: {entry.type}" + (f" ({default})" if default else ""))
        lines.append(f"    {entry.description}")
    return "\n".join(lines)


def _matches(key: str, pattern: str) -> bool:
    plain = key.replace(_ITEMS, "")
    return any(fnmatch.fnmatchcase(name, pattern) or name.startswith(f"{pattern}.") for name in (key, plain))


def _walk(model: type[BaseModel], prefix: str = "") -> Iterator[KeyEntry]:
    for name, field in model.model_fields.items():
        section, is_list = _section(field.annotation)
        key = f"{prefix}{name}{_ITEMS if is_list else ''}"
        words = _words(field.annotation, field.metadata)
        yield KeyEntry(key, words, _default(field), field.description or "", is_section=section is not None)
        if section is not None:
            yield from _walk(section, f"{key}.")


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that a type is, may be, or lists, and whether it is a list of sections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in get_args(annotation):
        section, _ = _section(argument)
        if section is not None:
            return section, get_origin(annotation) is tuple
    return None, False


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    return _to_yaml(_plain(value))


def _plain(value: Any) -> Any:
    """Return a default as plain values, sections with the keys that are set."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _to_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def _words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return a type in words, with its range or choices.

    Args:
        annotation: the type.
        metadata: its constraints.
    """
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _words(inner, [*more, *metadata])
    metadata = [*_flatten(metadata)]
    for item in metadata:
        if isinstance(item, BeforeValidator) and isinstance(item.func, NumberOrWord):
            return f"{item.func.number}, or {item.func.word}"
    limits = _limits(metadata)
    words = f"{_plain_words(annotation)} {_range(limits)}".rstrip()
    return ", ".join([words, *(_counts(limits) if get_origin(annotation) is tuple else [])])


def _flatten(metadata: Sequence[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from _flatten(item.metadata) if isinstance(item, FieldInfo) else [item]


def _plain_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    kinds: Mapping[Any, Callable[[], str]] = {
        Literal: lambda: _join([_to_yaml(value) for value in arguments]),
        Union: lambda: _union_words(arguments),
        UnionType: lambda: _union_words(arguments),
        tuple: lambda: _list_words(arguments),
        dict: lambda: f"mapping of text to {_words(arguments[1])}",
    }
    if origin in kinds:
        return kinds[origin]()
    return "section" if _section(annotation)[0] is not None else _WORDS[annotation]


def _union_words(arguments: Sequence[Any]) -> str:
    words = " or ".join(_words(argument) for argument in arguments if argument is not NoneType)
    return f"{words}, or null" if NoneType in arguments else words


def _list_words(arguments: Sequence[Any]) -> str:
    item, metadata = arguments[0], list[Any]()
    if get_origin(item) is Annotated:
        item, *metadata = get_args(item)
    if _section(item)[0] is not None:
        return "list of sections"
    if get_origin(item) is Literal:
        return f"list of {_join([_to_yaml(value) for value in get_args(item)])}"
    count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
    limit = _range(_limits([*_flatten(metadata)]))
    return f"list of {count}{_PLURALS[item]}" + (f", each {limit}" if limit else "")


def _limits(metadata: Iterable[Any]) -> dict[str, Any]:
    names = ("gt", "ge", "lt", "le", "min_length", "max_length")
    found = {name: getattr(item, name, None) for item in metadata for name in names if hasattr(item, name)}
    return {name: value for name, value in found.items() if value is not None}


def _range(limits: Mapping[str, Any]) -> str:
    if "ge" in limits and "le" in limits:
        return f"from {_number(limits['ge'])} to {_number(limits['le'])}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{words[name]} {_number(limits[name])}" for name in words if name in limits)


def _counts(limits: Mapping[str, Any]) -> list[str]:
    words = {"min_length": "at least", "max_length": "at most"}
    return [f"{words[name]} {limits[name]} item{'s' * (limits[name] > 1)}" for name in words if name in limits]


def _number(value: float) -> str:
    return f"{value:.15g}"


def _join(values: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
