"""YAML files that people write: read strictly, and wrong values explained in one line."""

import difflib
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from acsnet.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file: keys and values, none given twice.

    Raises:
        ConfigError: for a file that is missing, cannot be read, or is anything else.
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


# Values that only look like a date or a number, and bytes that are no text, are ValueErrors.
YAML_ERRORS = (yaml.YAMLError, ValueError)
_MERGE_TAG = "tag:yaml.org,2002:merge"


class StrictLoader(yaml.SafeLoader):
    """YAML as people write it: a key given twice is an error, and 1e-4 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, of keys that are given once."""
        # A merge key (<<: *other) stands for the keys of others: it is no key itself, and may be overridden.
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE_TAG]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


# YAML 1.1 wants a dot and a sign in exponents (1.0e-4); without this, 1e-4 and 1.5e3 would be strings.
_EXPONENT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
StrictLoader.add_implicit_resolver("!exponent", _EXPONENT, list("-+.0123456789"))
StrictLoader.add_constructor("!exponent", _number)


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Say what is wrong with the values of a model, an entry a value: dotted key, what was expected, what was meant."""
    entries = error.errors()
    # A list whose items are all wrong is reported as too short beside its items.
    parents = {entry["loc"][:depth] for entry in entries for depth in range(len(entry["loc"]))}
    entries = [entry for entry in entries if entry["type"] != "too_short" or entry["loc"] not in parents]
    return [_explain_one(model, entry["loc"], entry["type"], entry["msg"], entry["input"]) for entry in entries]


# Where pydantic's words name classes of Python instead of what to write.
_EXPECTED = {
    "model_type": "expected a section of keys and values",
    "tuple_type": "expected a list, as in [1, 2]",
    "dict_type": "expected keys and values, as in {key: value}",
    "path_type": "expected a path",
    "string_type": "expected text",
}


def _explain_one(model: type[BaseModel], location: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        return f"unknown key {key!r}: {guess}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error" and isinstance(value, str):
        choices = message.removeprefix("Input should be ").replace("'", "").replace(" or ", ", ").split(", ")
        near = difflib.get_close_matches(value.lower(), choices, n=1)
        message += f"; did you mean {near[0]!r}?" if near else ""
    message = _EXPECTED.get(kind, message).removeprefix("Value error, ").replace("Input should be", "expected")
    message = message.replace("Tuple should have", "expected").replace(" after validation", "")
    if kind == "value_error":
        # A check of the whole configuration has no key of its own; its message names those it is about.
        return f"{key}: {message}" if key else message
    return f"{key} is {value!r}: {message}"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    section: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        section = section.model_fields[part].annotation
        section = next((arg for arg in get_args(section) if isinstance(arg, type)), section)
    return list(section.model_fields)
