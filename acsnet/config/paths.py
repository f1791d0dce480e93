"""Removal of the paths of a machine from the content of a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATHS = {"model": ("initial_weights",), "data": ("root", "records", "cache", "image_list")}


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
    split_file = (public.get("data") or {}).get("split_file")
    if split_file is not None and (Path(str(split_file)).suffix or len(Path(str(split_file)).parts) > 1):
        public["data"]["split_file"] = None
    return public
