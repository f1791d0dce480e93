"""Import of other people's modules, which register networks, losses or datasets when they are imported."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from acsnet.errors import PluginError


def import_plugins(names: Sequence[str]) -> None:
    """Import modules by name, from the current folder or the environment.

    Args:
        names: names of modules, such as ``my_networks`` for ``my_networks.py``.

    Raises:
        PluginError: if a module cannot be found or fails; the message has the error, its file and its line.
    """
    if names and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise PluginError(f"--import {name}: {type(error).__name__}: {error}") from error
