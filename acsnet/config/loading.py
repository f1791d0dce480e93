"""Loading of a :class:`~acsnet.config.Config` from a YAML file, its parent files and overrides.

A file may name a parent by ``base:`` (a path relative to the file), or a list of parents, of which later ones take
precedence; the keys of the file itself take precedence over all parents. ``--set a.b=value`` overrides come last.
Every mistake is one :class:`~acsnet.errors.ConfigError` with the file, the dotted key, the expected value and the
nearest spelling.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acsnet._utils.invalid_values import explain
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet._utils.plugins import import_plugins
from acsnet._utils.printable import has_other_bytes, shorten
from acsnet._utils.yaml_files import MAX_DEPTH, YamlError, parse_yaml, read_yaml
from acsnet.config.data_section import WAYS_TO_NAME_DATA
from acsnet.config.hints import KEY_HINTS
from acsnet.config.schema import Config
from acsnet.errors import ConfigError

# Mappings that a file or an override replaces as a whole: their keys are one choice, not settings of their own.
REPLACED_KEYS = frozenset({"training.selection", "optimizer.rates"})
# Sections whose key "arguments" belongs to their key "name".
_NAMED_SECTIONS = frozenset({"model.", "optimizer."})
# Keys that describe the machine, the speed or what is shown, and do not change the result.
MACHINE_KEYS = frozenset(
    {
        "data.root",
        "data.dataset",
        "data.records",
        "data.cache",
        "data.workers",
        "data.split",
        "plugins",
        "training.trackers",
    }
)

# Keys whose null stands for a value that the training finds from the rest of the configuration.
FOUND_KEYS = frozenset({"data.mean", "data.std"})


# Characters that begin other values of YAML than plain text.
_YAML_INDICATORS = frozenset("[{'\"|>&*!")
_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file that the user names, its parents and overrides, and import its plugins.

    Importing runs code: use :func:`read_config` for a file that was only found, such as the one next to a checkpoint.

    Args:
        path: the YAML file.
        overrides: ``a.b=value`` each, with the value in YAML.

    Raises:
        ConfigError: see the module.
        PluginError: if a plugin cannot be found or fails.
    """
    path = Path(path)
    config = read_config(path, overrides)
    import_plugins(config.plugins, f"{path}: plugins:")
    return config


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file, its parents and overrides, without importing plugins; see :func:`load_config`.

    Raises:
        ConfigError: see the module.
    """
    path = Path(path)
    return build_config(_read_with_bases(path, (), {}), overrides, str(path))


def load_configs(paths: AnyPaths, overrides: Sequence[str] = ()) -> dict[str, Config]:
    """Read several configuration files, each named by its file without suffix; see :func:`load_config`.

    Raises:
        ConfigError: see the module; also for two files with the same name.
    """
    paths = list_paths(paths)
    configs: dict[str, Config] = {}
    for path in paths:
        if path.stem in configs:
            raise ConfigError(f"{path} is a second configuration named {path.stem}: rename one of the files")
        configs[path.stem] = load_config(path, overrides)
    return configs


def list_files(path: Path) -> list[Path]:
    """List a configuration file and its parents, absolute and each once, the file itself first.

    Raises:
        ConfigError: see the module.
    """
    known: dict[Path, dict[str, Any]] = {}
    _read_with_bases(path, (), known)
    return [*reversed(known)]


def build_config(content: Mapping[str, Any], overrides: Sequence[str], source: str) -> Config:
    """Validate the content of a configuration; ``source`` names it in messages. Its plugins are not imported.

    An override of ``data.root`` or ``data.records`` replaces both. An override of ``data.folds.test`` replaces
    ``data.folds.count`` and ``index``, and vice versa.

    Args:
        content: the content of the file, with its parents.
        overrides: ``a.b=value`` each, with the value in YAML.
        source: name of the file in messages.

    Raises:
        ConfigError: see the module.

    Example:
        >>> config = build_config({"model": {"name": "unet"}}, ["training.epochs=40"], "example")
        >>> config.training.epochs, config.optimizer.name
        (40, 'adam')
    """
    parsed = [_parse_override(override) for override in overrides]
    together: dict[str, Any] = {}
    for override in [*_cleared_alternatives(parsed), *parsed]:
        together = _merge(together, override)
    merged = _merge(content, together)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        origin = f"{source} with --set {shorten(' '.join(overrides))}" if overrides else source
        raise ConfigError(f"{origin}: {explain(error, Config, KEY_HINTS)}") from error


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the dotted keys whose values differ between two resolved configurations, except :data:`MACHINE_KEYS`.

    A null of one of :data:`FOUND_KEYS` equals every value.

    Example:
        >>> changed_keys({"training": {"epochs": 40}}, {"training": {"epochs": 90}})
        ['training.epochs (40 -> 90)']
    """
    before, after = dict(_flatten(old)), dict(_flatten(new))
    return [
        f"{key} ({before.get(key)!r} -> {after.get(key)!r})"
        for key in {**before, **after}
        if before.get(key) != after.get(key) and key not in MACHINE_KEYS and not _is_found(key, before, after)
    ]


def _is_found(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return key in FOUND_KEYS and None in (before.get(key), after.get(key))


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _read_with_bases(path: Path, children: tuple[Path, ...], known: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """Read a file and its parents.

    Args:
        path: the file.
        children: the files that led to it, to notice a circle.
        known: the content of the files that were read before, with their parents; the file is added to it.
    """
    # Unlike Path.resolve, this raises no errors: reading raises them.
    resolved = Path(os.path.realpath(path)) if "\0" not in str(path) else path
    if resolved in known:
        return known[resolved]
    if resolved in children:
        chain = " -> ".join(child.name for child in (*children, resolved))
        raise ConfigError(f"{path}: base files refer to each other in a circle: {shorten(chain)}")
    if len(children) == MAX_DEPTH:
        raise ConfigError(f"{path}: more than {MAX_DEPTH} base files refer to each other: remove some")
    content = read_yaml(path)
    base = content.pop("base", None)
    bases = base if isinstance(base, list) else [] if base is None else [base]
    if not all(isinstance(parent, str) for parent in bases):
        raise ConfigError(
            f"{path}: base is {shorten(repr(base))}, expected the path of a YAML file relative to this one, or a list "
            "of them"
        )
    merged: dict[str, Any] = {}
    for parent in bases:
        merged = _merge(merged, _read_with_bases(path.parent / parent, (*children, resolved), known))
    known[resolved] = _merge(merged, content)
    return known[resolved]


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")) or key.count(".") >= MAX_DEPTH:
        raise ConfigError(
            f"--set {shorten(override)}: expected KEY=VALUE with a dotted key, as in --set training.epochs=40"
        )
    try:
        value = _parse_value(text)
    except YamlError as error:
        raise ConfigError(f"--set {shorten(override)}: the value is not YAML: {error}") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _parse_value(text: str) -> Any:
    """Parse the value of an override, in which YAML must not change the name of a file.

    Raises:
        YamlError: if the value is not YAML, or if a part of it is a comment.
    """
    is_plain = text[:1] not in _YAML_INDICATORS
    if is_plain and has_other_bytes(text):
        # Bytes of names that are not UTF-8, which YAML cannot have.
        return text
    value = parse_yaml(text)
    if is_plain and isinstance(value, str) and "\n" in text:
        # YAML would make a space of a line break.
        return text
    for comment in _COMMENT.finditer(text):
        if _is_yaml(text[: comment.start()], value):
            raise YamlError(f"{shorten(text[comment.start() :].strip(), 40)} is a comment: quote the value for YAML")
    return value


def _is_yaml(text: str, value: Any) -> bool:
    try:
        return bool(parse_yaml(text) == value)
    except YamlError:
        return False


def _cleared_alternatives(overrides: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return overrides that clear the alternatives of the data and of the split that the overrides name."""
    sections = [override["data"] for override in overrides if isinstance(override.get("data"), Mapping)]
    cleared = [{"data": dict.fromkeys(WAYS_TO_NAME_DATA)}] if _any_given(sections, WAYS_TO_NAME_DATA) else []
    folds = [section["folds"] for section in sections if isinstance(section.get("folds"), Mapping)]
    if _any_given(folds, ("test",)):
        cleared.append({"data": {"folds": {"count": None, "index": None}}})
    if _any_given(folds, ("count", "index")):
        cleared.append({"data": {"folds": {"test": None}}})
    return cleared


def _any_given(sections: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> bool:
    return any(section.get(key) is not None for section in sections for key in keys)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    merged = dict(below)
    if prefix in _NAMED_SECTIONS and "name" in below and above.get("name", below["name"]) != below["name"]:
        # The arguments of another network or optimizer.
        merged.pop("arguments", None)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and prefix + key not in REPLACED_KEYS:
            value = _merge(old, value, f"{prefix}{key}.")
        merged[key] = value
    return merged
