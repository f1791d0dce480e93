"""Names of files: the same accents are composed on some systems and decomposed on others."""

import os
import unicodedata
from functools import lru_cache
from pathlib import Path

from acsnet.data.frame_paths import split_frame


def compose(name: str) -> str:
    """Return a name with composed accents, which is the same on every system."""
    return unicodedata.normalize("NFC", name)


def find_file(path: Path) -> Path:
    """Return the path of an existing file whose name differs only in how accents are written, or the path itself.

    Args:
        path: path from a table, which may have been written on another system; it may end in a frame.
    """
    file, frame = split_frame(path)
    if os.path.lexists(file):
        return path
    found = Path(file.anchor)
    for part in file.parts[1 if file.anchor else 0 :]:
        exact = found / part
        if os.path.lexists(exact):
            found = exact
            continue
        names = [name for name in _names(found) if compose(name) == compose(part)]
        if len(names) != 1:
            return path
        found = found / names[0]
    return found if frame is None else found.with_name(f"{found.name}#{frame}")


@lru_cache(maxsize=64)
def _listed(folder: Path, changed: int) -> tuple[str, ...]:
    return tuple(os.listdir(folder))


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return ()
