"""Strict reading of YAML files, and one-line explanations of invalid values."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from acsnet.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file of unique keys and their values.

    Raises:
        ConfigError: if the file is missing, cannot be read, is not YAML, or has other content.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.yaml")], n=1)
        guess = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise ConfigError(f"there is no configuration file {path}{guess}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except YAML_ERRORS as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected sections such as 'model:' and 'data:' at the top")
    return content


# Invalid dates and numbers, and bytes that are not text, are ValueErrors.
YAML_ERRORS = (yaml.YAMLError, ValueError)
_MERGE_TAG = "tag:yaml.org,2002:merge"


class StrictLoader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys and reads 1e-4 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, and check that its keys are unique."""
        # A merge key (<<: *other) inserts the keys of another mapping, which may be overridden.
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE_TAG]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


# YAML 1.1 needs a dot and a sign in numbers with exponents (1.0e-4); otherwise 1e-4 and 1.5e3 would be strings.
_EXPONENT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
StrictLoader.add_implicit_resolver("!exponent", _EXPONENT, list("-+.0123456789"))
StrictLoader.add_constructor("!exponent", _number)


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one message per invalid value: its dotted key, the expected value, and the nearest spelling.

    Args:
        error: the error of the validation.
        model: the validated model, whose fields are the known keys.
    """
    entries = error.errors()
    # A list with only invalid items is also reported as too short.
    parents = {entry["loc"][:depth] for entry in entries for depth in range(len(entry["loc"]))}
    entries = [entry for entry in entries if entry["type"] != "too_short" or entry["loc"] not in parents]
    return [_explain_entry(model, entry) for entry in entries]


# The expected value by pydantic's types of errors; the fields are those of the error's context.
_EXPECTED = {
    "bool_parsing": "a valid boolean",
    "bool_type": "a valid boolean",
    "dict_type": "keys and values, as in {{key: value}}",
    "finite_number": "a finite number",
    "float_parsing": "a valid number",
    "float_type": "a valid number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "greater than or equal to {ge:g}",
    "int_from_float": "a valid integer",
    "int_parsing": "a valid integer",
    "int_type": "a valid integer",
    "less_than": "less than {lt:g}",
    "less_than_equal": "less than or equal to {le:g}",
    "literal_error": "{expected}",
    "model_type": "a section of keys and values",
    "path_type": "a path",
    "string_type": "text",
    "tuple_type": "a list, as in [1, 2]",
}


def _explain_entry(model: type[BaseModel], entry: ErrorDetails) -> str:
    kind, location, value, context = entry["type"], entry["loc"], entry["input"], entry.get("ctx", {})
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"unknown key {key!r}: {guess}"
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


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    section: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        section = section.model_fields[part].annotation
        section = next((arg for arg in get_args(section) if isinstance(arg, type)), section)
    return list(section.model_fields)
