"""Strict reading of YAML files."""

import difflib
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from acsnet._utils.printable import shorten
from acsnet.errors import ConfigError

MAX_BYTES = 1_000_000
# Far above the needs of a configuration; an alias counts as often as it is used.
MAX_VALUES = 20_000
MAX_DEPTH = 50


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file of unique keys and their values.

    Raises:
        ConfigError: if the file is missing, cannot be read, is not YAML, or has other content; if it has more than
            :data:`MAX_BYTES`, values or levels.
    """
    try:
        content = parse_yaml(_read_text(path))
    except YamlError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected sections such as 'model:' and 'data:' at the top")
    return content


def _read_text(path: Path) -> str:
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        content = _read_bytes(path) if kind == stat.S_IFREG else None
    # ValueError: the path has a NUL.
    except (FileNotFoundError, NotADirectoryError, ValueError):
        near = difflib.get_close_matches(path.name, _yaml_names(path.parent), n=1)
        guess = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise ConfigError(f"there is no configuration file {shorten(str(path))}{guess}") from None
    except OSError as error:
        raise ConfigError(f"{shorten(str(path))} cannot be read: {error.strerror}") from error
    if content is None:
        raise ConfigError(f"{path} is {'a folder' if kind == stat.S_IFDIR else 'a pipe or a device'}: name a YAML file")
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes, too many for a configuration: name a YAML file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not YAML: line {line}: {error}; save the file as UTF-8") from error


def _read_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _yaml_names(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.glob("*.yaml")]
    except (OSError, ValueError):
        return []


class YamlError(ValueError):
    """Text is not YAML, or not YAML of a configuration; the message is one short line with the number of the line."""


def parse_yaml(text: str) -> Any:
    """Parse YAML of null, booleans, numbers, text, lists and mappings, with unique keys.

    Raises:
        YamlError: if the text is something else; if an alias contains itself; if the text has more than
            :data:`MAX_VALUES` values, where an alias counts as all values that it stands for, or lists and mappings on
            more than :data:`MAX_DEPTH` levels.

    Example:
        >>> parse_yaml("{rate: 1e-4, sizes: [1, 2], day: 2026-01-31}")
        {'rate': 0.0001, 'sizes': [1, 2], 'day': '2026-01-31'}
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise YamlError(place + shorten(problem)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"line {line}: the character #x{error.character:04x} is not allowed: remove it") from error
    # Text behind a tag, as in !!bool maybe, and numbers of thousands of digits.
    except (yaml.YAMLError, ValueError, LookupError) as error:
        raise YamlError(shorten(" ".join(str(error).split()))) from error


_TAG = "tag:yaml.org,2002:"
_MERGE_TAG = f"{_TAG}merge"
_EXPONENT_TAG = "!exponent"
_TAGS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")} | {_EXPONENT_TAG}


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader of plain values that rejects duplicate keys and bombs of aliases, and reads 1e-4 as a number."""

    # Dates are text: no key is a date, but folders and names may look like one.
    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the parent class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        # Number of values and of levels of each complete node.
        self._extents: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value, and check its type and extent before its parents are composed."""
        is_alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"lists and mappings have more than {MAX_DEPTH} levels: remove some", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None or (is_alias and node in self._extents):
            return node
        if is_alias:
            raise _error("an alias contains itself: write the values out", mark)
        if node.tag not in _TAGS:
            raise _error(f"the type {shorten(node.tag, 80)} is not allowed: write text, numbers, lists or keys", mark)
        self._extents[node] = self._measure(node)
        return node

    def _measure(self, node: yaml.Node) -> tuple[int, int]:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            _merge_keys(node)
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        extents = [self._extents[child] for child in children]
        values, levels = 1 + sum(own for own, _ in extents), 1 + max((own for _, own in extents), default=0)
        if values > MAX_VALUES or levels > MAX_DEPTH:
            limit = f"{MAX_VALUES} values" if values > MAX_VALUES else f"{MAX_DEPTH} levels"
            raise _error(f"with its aliases, this has more than {limit}: remove some", node.start_mark)
        return values, levels


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE_TAG:
            continue
        if (key.tag, key.value) in seen:
            raise _error(f"key {shorten(key.value, 80)!r} is given twice: remove one", key.start_mark)
        seen.add((key.tag, key.value))


def _merge_keys(node: yaml.MappingNode) -> None:
    """Replace a merge key (<<: *other) by the keys of the other mapping that the mapping does not have itself.

    PyYAML's own merging loses values of mappings that have merge keys themselves (version 6.0.4).
    """
    own = [pair for pair in node.value if pair[0].tag != _MERGE_TAG]
    pairs = {_identity(key): (key, value) for key, value in own}
    for key, merged in node.value:
        if key.tag != _MERGE_TAG:
            continue
        for other in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
            if not isinstance(other, yaml.MappingNode):
                raise _error("<<: needs an alias of keys and values, or a list of them", key.start_mark)
            for pair in other.value:
                pairs.setdefault(_identity(pair[0]), pair)
    node.value = list(pairs.values())


def _identity(key: yaml.Node) -> object:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key


def _error(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


# YAML 1.1 needs a dot and a sign in numbers with exponents (1.0e-4); otherwise 1e-4 and 1.5e3 would be strings.
_EXPONENT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_StrictLoader.add_implicit_resolver(_EXPONENT_TAG, _EXPONENT, list("-+.0123456789"))
_StrictLoader.add_constructor(_EXPONENT_TAG, _number)
