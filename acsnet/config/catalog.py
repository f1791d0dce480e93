"""The configurations of this project, found by name: ``configs/`` in a clone, package data in a wheel."""

import fnmatch
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.files import write_text
from acsnet._utils.naming import look_up
from acsnet._utils.reading import read_text
from acsnet._utils.tables import Cell, Column, Row, Table
from acsnet.config.loading import list_files
from acsnet.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has the folder inside the package; a clone has it next to the package.
_PLACES = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
_SUFFIX = ".yaml"
# Not in "He et al. 2024" or "published/he2024/acsnet_busi".
_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z])")
_HOW_TO_LIST = "`acsnet configs` lists all; the path of a file ends in .yaml"


def list_configs(pattern: str = "*") -> tuple[str, ...]:
    """List the names of the configurations, such as ``acsnet_busi`` and ``published/he2024/acsnet_busi``, in order.

    Files that only serve as a base are left out.

    Args:
        pattern: a wildcard pattern, whose ``*`` also matches ``/``.

    Example:
        >>> from acsnet.config import list_configs
        >>> "acsnet_busi" in list_configs()
        True
        >>> list_configs("published/he2024/*")
        ('published/he2024/acsnet_busi', 'published/he2024/acsnet_udiat')
    """
    return tuple(name for name in _find_all() if fnmatch.fnmatchcase(name, pattern))


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a configuration, which is named as by :func:`list_configs` or by its path.

    A name has no suffix, so that a file in the current folder cannot take the place of a configuration of the project.

    Raises:
        UnknownNameError: if there is no such name; the message has near matches.
        ConfigError: if there is no such file, but a configuration of the project is called so in a clone.

    Example:
        >>> from acsnet.config import find_config
        >>> find_config("acsnet_busi").name
        'acsnet_busi.yaml'
    """
    path = Path(name_or_path)
    if path.suffix in (_SUFFIX, ".yml"):
        name = path.with_suffix("").as_posix().removeprefix("configs/")
        # As in a clone.
        if path.parts[0] == "configs" and not os.path.lexists(path) and name in list_configs():
            raise ConfigError(f"there is no configuration file {path}; the one of the project is named {name}")
        return path
    return _look_up(str(name_or_path))


def config_table(patterns: Sequence[str] = ()) -> str:
    """Return the configurations as a table of text: the name, and the first sentence of the file or of its base.

    Args:
        patterns: names or wildcard patterns; all configurations by default.

    Raises:
        UnknownNameError: if a pattern matches no name; the message has near matches.

    Example:
        >>> from acsnet.config import config_table
        >>> print(config_table(["acsnet_phantom"]))
        name            what it is
        acsnet_phantom  The demo: a narrow ACSNet on small phantoms, ...
    """
    for pattern in patterns:
        if not list_configs(pattern):
            _look_up(pattern)
    chosen = {name for pattern in patterns or ("*",) for name in list_configs(pattern)}
    rows = [Row(name, [Cell(_describe(path))]) for name, path in _find_all().items() if name in chosen]
    return Table("name", [Column("what it is", align="left")], rows).to_text(underline=False)


def copy_configs(names: Sequence[str], folder: str | Path) -> list[Path]:
    """Copy configurations with their base files, so that they load from there.

    Args:
        names: names of :func:`list_configs`.
        folder: the folder, in which the files have the same paths as in ``configs/``.

    Returns:
        The copies of the named configurations.

    Raises:
        UnknownNameError: if a name is unknown; the message has near matches.
        ConfigError: if another file is in the place of a copy; then nothing is written.
        WriteError: if the copies cannot be written.

    Example:
        >>> from acsnet.config import copy_configs, load_config
        >>> (path,) = copy_configs(["published/he2024/acsnet_busi"], Path("mine"))
        >>> path.as_posix(), load_config(path).model.name
        ('mine/published/he2024/acsnet_busi.yaml', 'acsnet')
    """
    folder = Path(folder)
    root = _root()
    sources = [_look_up(name) for name in names]
    files = dict.fromkeys(file for source in sources for file in list_files(source))
    texts = {folder / file.relative_to(root.resolve()): read_text(file) for file in files}
    taken = [path for path, text in texts.items() if path.exists() and not (path.is_file() and read_text(path) == text)]
    if taken:
        raise ConfigError(f"{taken[0]} is there already and is never overwritten: choose another folder by --out")
    for path, text in texts.items():
        if not path.exists():
            write_text(path, text)
    return [folder / source.relative_to(root) for source in sources]


def _look_up(name: str) -> Path:
    return look_up("configuration", name, _find_all(), _HOW_TO_LIST)


def _find_all() -> dict[str, Path]:
    """Return the files of the configurations by their names, in order, without those that only serve as a base."""
    root = _root()
    paths = {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob(f"*{_SUFFIX}"))}
    return {name: path for name, path in paths.items() if "bases" not in name.split("/")}


def _describe(path: Path) -> str:
    """Return the first sentence of the comments of a file, or of the base files of one without comments."""
    for file in list_files(path):
        lines = itertools.dropwhile(lambda line: not line.startswith("#"), read_text(file).splitlines())
        # A command in the comments is indented.
        comment = itertools.takewhile(lambda line: line.startswith("# ") and not line.startswith("#  "), lines)
        text = " ".join(line.lstrip("# ") for line in comment)
        if text:
            return _SENTENCE_END.split(text, maxsplit=1)[0]
    return ""


def _root() -> Path:
    for place in _PLACES:
        if place.is_dir():
            return place
    raise ConfigError(f"the configurations are not installed: expected them in {_PLACES[0]}; install acsnet again")
