"""Removal of the paths of a machine from the content of a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATHS = {"model": ("initial_weights",), "data": ("root", "records", "cache")}
# A path, or the name of a released split, which is public.
_NAMES_OR_PATHS = ("split_file", "image_list")


def without_paths(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a configuration without paths; the name of a released split is not a path.

    A checkpoint has no paths of the machine that wrote it, and the paths in a crafted one are not followed.

    Example:
        >>> without_paths({"data": {"root": "/images", "split_file": "busi_split"}})
        {'data': {'root': None, 'split_file': 'busi_split'}}
    """
    public = dict(content)
    for section, keys in _PATHS.items():
        if public.get(section):
            public[section] = {key: None if key in keys else value for key, value in public[section].items()}
    data = public.get("data") or {}
    for key in _NAMES_OR_PATHS:
        value = data.get(key)
        if value is not None and (Path(str(value)).suffix or len(Path(str(value)).parts) > 1):
            public["data"][key] = None
    return public
