"""Plugins: modules of users and of other packages, which register networks, losses and more when they are imported.

Importing a module runs its code. Only those who start the program choose what is imported: by ``--import``, by
``plugins:`` in the configuration file that they name, or by installing a package. Names of plugins in checkpoints, and
in files that are found next to them, are data: they are shown and never imported.
"""

import difflib
import importlib
import keyword
import logging
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from typing import TypeVar

from acsnet._utils.naming import look_up
from acsnet._utils.printable import shorten
from acsnet._utils.registration import importing
from acsnet.errors import PluginError

T = TypeVar("T")

#: Group of entry points in which installed packages name their plugins.
GROUP = "acsnet.plugins"

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))
_lock = RLock()
_is_loaded = False


def import_plugins(names: Sequence[str], source: str = "--import") -> None:
    """Import modules by name, from the environment or the current folder.

    A module that is already imported is not imported again. If a module fails, what it registered is taken back.

    Args:
        names: names of modules, such as ``my_module`` for ``my_module.py`` in the current folder.
        source: what named them, for messages.

    Raises:
        PluginError: if a name is a path, or if a module cannot be found or fails; the message has the error, its file
            and its line.
    """
    for name in names:
        _check_form(name, source)
    if names and str(Path.cwd()) not in sys.path:
        # Last, so that a file of the current folder cannot replace a module of Python or of an installed package.
        sys.path.append(str(Path.cwd()))
    importlib.invalidate_caches()
    for name in names:
        try:
            with importing(name):
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{source} {name}: {_explain(error, name)}") from error
        _check_imported(name, source)


def load_installed_plugins() -> None:
    """Import the plugins that installed packages declare as entry points, once; one that fails is a warning.

    A package declares its module in the group ``acsnet.plugins``, in its ``pyproject.toml``::

        [project.entry-points."acsnet.plugins"]
        my_networks = "my_package.networks"
    """
    global _is_loaded
    with _lock:
        if _is_loaded:
            return
        # Set first: a plugin may look up a name while it is imported.
        _is_loaded = True
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            try:
                with importing(entry.module):
                    entry.load()
            except (Exception, SystemExit) as error:
                logger.warning(
                    "the installed plugin %s = %s is left out: %s",
                    entry.name,
                    entry.value,
                    _explain(error, entry.module),
                )


def look_up_registered(kind: str, name: str, registry: Mapping[str, T], listing: str) -> T:
    """Return the value of a registered name, after loading the installed plugins if it is unknown.

    Args:
        kind: the kind of thing, as in "unknown network".
        name: the name to look up.
        registry: the values by their names.
        listing: how to list all names; if empty, the message lists them.

    Raises:
        UnknownNameError: if the name is unknown; the message has near matches.
    """
    if name not in registry:
        load_installed_plugins()
    return look_up(kind, name, registry, listing)


def _check_form(name: str, source: str) -> None:
    parts = name.split(".")
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in parts) and parts[-1] != "py":
        return
    path = Path(name.removesuffix(".py"))
    if not path.name.isidentifier() or keyword.iskeyword(path.name):
        raise PluginError(
            f"{source} {shorten(name)!r}: expected the name of a module, such as my_module for my_module.py"
        )
    if not path.is_absolute() and all(part.isidentifier() for part in path.parts):
        raise PluginError(
            f"{source} {name}: expected the name of a module, not a path: write {'.'.join(path.parts)}, which is found "
            "in the current folder"
        )
    raise PluginError(
        f"{source} {name}: expected the name of a module, not a path: write {path.name}, and add its folder by "
        f"PYTHONPATH={path.parent}"
    )


def _check_imported(name: str, source: str) -> None:
    """Check that a module is not an empty folder, and is the user's own if the current folder has one of that name."""
    module = sys.modules[name]
    if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        inside = sorted(_modules_in([Path(folder) for folder in module.__path__]))
        example = f", such as {name}.{inside[0]}" if inside else ""
        raise PluginError(f"{source} {name}: it is a folder without __init__.py: name a module in it{example}")
    top = name.partition(".")[0]
    own = {Path.cwd() / f"{top}.py": f"{top}.py", Path.cwd() / top / "__init__.py": f"the folder {top}"}
    here = [path for path in own if path.is_file()]
    found = getattr(sys.modules[top], "__file__", None) or "a part of Python"
    if here and not any(Path(found).exists() and Path(found).samefile(path) for path in here):
        raise PluginError(
            f"{source} {name}: {top} is already the name of another module ({found}): rename {own[here[0]]}"
        )


def _explain(error: BaseException, name: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        return _explain_missing(name, error.name)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = " ".join(f"{type(error).__name__}: {message}".split()).removesuffix(":")
    place = _find_place(error)
    return shorten(text if place is None else f"{place}: {text}", 500)


def _explain_missing(name: str, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    package = sys.modules.get(parent)
    if package is not None:
        folders = [Path(folder) for folder in getattr(package, "__path__", ())]
        where = ", ".join(map(str, folders)) or f"{getattr(package, '__file__', parent)}, which is not a package"
    else:
        libraries = {library.resolve() for library in _LIBRARIES}
        folders = [
            folder
            for folder in map(Path, dict.fromkeys(sys.path))
            if folder.is_dir() and not any(_is_below(folder, library) for library in libraries)
        ]
        where = ", ".join([*map(str, folders), "the installed packages"])
    near = difflib.get_close_matches(last, sorted(_modules_in(folders)), n=1)
    found = ".".join(filter(None, (parent, near[0]))) if near else ""
    guess = f"; did you mean {found}{name.removeprefix(missing)}?" if near else ""
    return f"there is no module {missing} in {where}{guess}"


def _modules_in(folders: Sequence[Path]) -> set[str]:
    names: set[str] = set()
    for folder in folders:
        try:
            names |= {
                path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
            }
        except OSError:
            continue
    return names


def _find_place(error: BaseException) -> str | None:
    """Return file and line of an error: of the wrong syntax, or the deepest ones in the user's own code."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not _is_below(Path(frame.filename), _PACKAGE)
    ]
    own = [frame for frame in frames if not any(_is_below(Path(frame.filename), folder) for folder in _LIBRARIES)]
    # An installed plugin has no code outside of the libraries; importlib is the first of its frames.
    last = (own or frames)[-1:]
    return f"{_shown(last[0].filename)}, line {last[0].lineno}" if last else None


def _is_below(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return False


def _shown(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
