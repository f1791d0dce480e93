"""Paths as users write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

AnyPaths: TypeAlias = str | Path | Sequence[str | Path]


def list_paths(paths: AnyPaths) -> list[Path]:
    """Return paths, or one path, as a list.

    Example:
        >>> list_paths("a.png") == list_paths(["a.png"]) == [Path("a.png")]
        True
    """
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
