"""The configurations of this project, found by name: ``configs/`` in a clone, package data in a wheel."""

from pathlib import Path

from acsnet._utils.naming import look_up
from acsnet.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has the folder inside the package; a clone has it next to the package.
_PLACES = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
_SUFFIX = ".yaml"
_HOW_TO_LIST = "`acsnet configs` lists all; the path of a file ends in .yaml"


def list_configs() -> tuple[str, ...]:
    """List the names of the configurations, such as ``acsnet_busi`` and ``published/he2024/busi``, in order.

    Files that only serve as a base are left out.

    Example:
        >>> from acsnet.config import list_configs
        >>> "acsnet_busi" in list_configs()
        True
    """
    root = _root()
    names = (path.relative_to(root).with_suffix("").as_posix() for path in sorted(root.rglob(f"*{_SUFFIX}")))
    return tuple(name for name in names if "bases" not in name.split("/"))


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a configuration, which is named as by :func:`list_configs` or by its path.

    A name has no suffix, so that a file in the current folder cannot take the place of a configuration of the project.

    Raises:
        UnknownNameError: if there is no such name; the message has near matches.

    Example:
        >>> from acsnet.config import find_config
        >>> find_config("acsnet_busi").name
        'acsnet_busi.yaml'
    """
    if Path(name_or_path).suffix in (_SUFFIX, ".yml"):
        return Path(name_or_path)
    names = list_configs()
    return _root() / (
        look_up("configuration", str(name_or_path), {name: name for name in names}, _HOW_TO_LIST) + _SUFFIX
    )


def _root() -> Path:
    for place in _PLACES:
        if place.is_dir():
            return place
    raise ConfigError(f"the configurations are not installed: expected them in {_PLACES[0]}; install acsnet again")
