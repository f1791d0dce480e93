"""One-line explanations of the values that a pydantic model rejects."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from acsnet._utils.printable import shorten

_MAX_SHOWN_PROBLEMS = 10
_MAX_DESCRIBED_KEYS = 3

Location = Sequence[int | str]


def explain(error: ValidationError, model: type[BaseModel], hints: Mapping[str, str] | None = None) -> str:
    """Return one line with each invalid value: its dotted key, the expected value, and the nearest spelling.

    The line ends with the descriptions of the first keys that are concerned, which are those of the model's fields.

    Args:
        error: the error of the validation.
        model: the validated model, whose fields are the known keys.
        hints: what to do about some unknown keys, by dotted key.
    """
    entries = error.errors()
    # A list with only invalid items is also reported as too short.
    parents = {entry["loc"][:depth] for entry in entries for depth in range(len(entry["loc"]))}
    entries = [entry for entry in entries if entry["type"] != "too_short" or entry["loc"] not in parents]
    problems = [shorten(_explain_entry(model, entry, hints or {})) for entry in entries[:_MAX_SHOWN_PROBLEMS]]
    more = [f"and {len(entries) - _MAX_SHOWN_PROBLEMS} more"] if len(entries) > _MAX_SHOWN_PROBLEMS else []
    return "; ".join([*problems, *more]) + _describe_keys(model, entries[:_MAX_SHOWN_PROBLEMS])


# The expected value by pydantic's types of errors; the fields are those of the error's context.
_EXPECTED = {
    "bool_parsing": "a valid boolean",
    "bool_type": "a valid boolean",
    "dict_type": "keys and values, as in {{key: value}}",
    "finite_number": "a finite number",
    "float_parsing": "a valid number",
    "float_type": "a valid number",
    "greater_than": "greater than {gt:.15g}",
    "greater_than_equal": "greater than or equal to {ge:.15g}",
    "int_from_float": "a valid integer",
    "int_parsing": "a valid integer",
    "int_type": "a valid integer",
    "less_than": "less than {lt:.15g}",
    "less_than_equal": "less than or equal to {le:.15g}",
    "literal_error": "{expected}",
    "model_type": "a section of keys and values",
    "path_type": "a path",
    "string_type": "text",
    "tuple_type": "a list, as in [1, 2]",
}


def _explain_entry(model: type[BaseModel], entry: ErrorDetails, hints: Mapping[str, str]) -> str:
    kind, location, value, context = entry["type"], entry["loc"], entry["input"], entry.get("ctx", {})
    key = shorten(".".join(str(part) for part in location), 100)
    if kind == "extra_forbidden":
        return f"unknown key {key!r}: {hints.get(key) or _guess_key(model, location)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        # A check of the whole configuration has no key; its message names the keys.
        return f"{key}: {context['error']}" if key else str(context["error"])
    return f"{key} is {value!r}: {_describe_expected(kind, value, context, entry['msg'])}"


def _describe_expected(kind: str, value: Any, context: Mapping[str, Any], message: str) -> str:
    if kind == "too_short":
        return f"expected at least {_count_items(context['min_length'])}, not {context['actual_length']}"
    if kind == "too_long":
        return f"expected at most {_count_items(context['max_length'])}, not {context['actual_length']}"
    if kind not in _EXPECTED:
        return message
    expected = f"expected {_EXPECTED[kind].format(**context)}"
    if kind == "literal_error" and isinstance(value, str):
        near = difflib.get_close_matches(value.lower(), re.findall(r"'([^']*)'", context["expected"]), n=1)
        return f"{expected}; did you mean {near[0]!r}?" if near else expected
    return expected


def _count_items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


def _guess_key(model: type[BaseModel], location: Location) -> str:
    """Return the known key that is nearest to an unknown one: in its section, or of the same name in another one."""
    near = _nearest_key(model, location)
    if near:
        return f"did you mean {near!r}?"
    *section, name = location
    known = _known_keys(model, section)
    elsewhere = [other for other in model.model_fields if name in _known_keys(model, [other])]
    return f"did you mean {f'{elsewhere[0]}.{name}'!r}?" if elsewhere else f"known are {', '.join(known)}"


def _nearest_key(model: type[BaseModel], location: Location) -> str | None:
    *section, name = location
    near = difflib.get_close_matches(str(name), _known_keys(model, section), n=1)
    return near[0] if near else None


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    return list(getattr(_find(model, location).type, "model_fields", ()))


def _describe_keys(model: type[BaseModel], entries: Sequence[ErrorDetails]) -> str:
    """Return the descriptions of the values that are wrong, of unknown keys those of the nearest ones."""
    described: dict[str, str] = {}
    for entry in entries:
        location: Location = entry["loc"]
        if entry["type"] == "extra_forbidden":
            location = [*location[:-1], _nearest_key(model, location) or ""]
        place = _find(model, location)
        # The name of a section says what it is.
        if place.field is not None and place.field.description and not hasattr(place.type, "model_fields"):
            described.setdefault(place.key, place.field.description.rstrip("."))
    parts = [f"{key}: {shorten(text)}" for key, text in [*described.items()][:_MAX_DESCRIBED_KEYS]]
    return f" ({'; '.join(parts)})" if parts else ""


class _Place(NamedTuple):
    """A field, its dotted key, and its type, which is a model if the field is a section or a list of them."""

    key: str
    field: FieldInfo | None
    type: Any


def _find(model: type[BaseModel], location: Location) -> _Place:
    """Return the place of a location; one within a mapping, as that of an argument, has the place of the mapping."""
    place = _Place("", None, model)
    for part in location:
        if isinstance(part, int):
            continue
        fields = getattr(place.type, "model_fields", None)
        if fields is None:
            break
        if part not in fields:
            return _Place("", None, None)
        annotation = fields[part].annotation
        kind = next((arg for arg in get_args(annotation) if isinstance(arg, type)), annotation)
        place = _Place(f"{place.key}.{part}".lstrip("."), fields[part], kind)
    return place
