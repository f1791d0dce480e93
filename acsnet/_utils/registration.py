"""The rules that all registries share: names are unique, and it is known which plugin registered them.

A registry is a dictionary of values by their names; :func:`register` adds to it.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

from acsnet.errors import InputError

# The plugins that are being imported now, one inside the other.
_importing: list[str] = []
# (kind, name) -> module that registered it.
_modules: dict[tuple[str, str], str] = {}
# What was registered since the outermost import began: (registry, kind, name).
_journal: list[tuple[dict[str, Any], str, str]] = []


def register(
    kind: str, name: str, value: Any, registry: dict[str, Any], taken: Collection[str] = (), builder: object = None
) -> None:
    """Add a value to a registry.

    Args:
        kind: the kind of thing, as in "a network named".
        name: its name, of printable characters.
        value: what the name stands for.
        registry: the values by their names.
        taken: further names that are not free.
        builder: the class or function behind the value if that is another object; its module is remembered.

    Raises:
        InputError: if the name is taken or is not a name.

    Example:
        >>> registry = {"unet": 1}
        >>> register("network", "mine", 2, registry)
        >>> registry["mine"]
        2
    """
    article = "an" if kind[0] in "aeiou" else "a"
    if not isinstance(name, str) or not name.isprintable() or not name or name != name.strip():
        raise InputError(
            f"{name!r} cannot be the name of {article} {kind}: use printable characters, without spaces at the ends"
        )
    if name in registry or name in taken:
        module = module_of(kind, name)
        by = "" if module is None else f" by {module}"
        raise InputError(f"{article} {kind} named {name!r} is already registered{by}: choose another name")
    registry[name] = value
    module = _importing[-1] if _importing else getattr(value if builder is None else builder, "__module__", None)
    if is_module_name(module) and module.partition(".")[0] not in ("acsnet", "__main__", "__mp_main__", "builtins"):
        _modules[kind, name] = module
    if _importing:
        _journal.append((registry, kind, name))


def is_module_name(name: object) -> TypeGuard[str]:
    """Return whether a value is the dotted name of a module, which may be shown as a part of a command.

    Example:
        >>> is_module_name("my_package.networks"), is_module_name("x; ls")
        (True, False)
    """
    return isinstance(name, str) and len(name) <= 200 and all(part.isidentifier() for part in name.split("."))


def module_of(kind: str, name: str) -> str | None:
    """Return the module outside of this package that registered a name, or None for one of the package.

    It is the plugin, as its user named it, or the module of the registered class or function.
    """
    return _modules.get((kind, name))


@contextmanager
def importing(plugin: str) -> Iterator[None]:
    """Attribute what is registered to a plugin, and take it back if the import fails, so that it can be repeated."""
    before = len(_journal)
    _importing.append(plugin)
    try:
        yield
    except BaseException:
        for registry, kind, name in _journal[before:]:
            registry.pop(name, None)
            _modules.pop((kind, name), None)
        del _journal[before:]
        raise
    finally:
        _importing.pop()
        if not _importing:
            _journal.clear()
