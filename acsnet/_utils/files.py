"""Files that are written whole or not at all."""

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.errors import AcsnetError, InputError


class DiskFullError(AcsnetError):
    """A file could not be written because the disk, or the quota on it, is full."""


def cache_folder() -> Path:
    """The folder for what can be made or fetched again: the environment variable ACSNET_CACHE, else ~/.cache/acsnet."""
    return Path(os.environ.get("ACSNET_CACHE") or Path.home() / ".cache" / "acsnet")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; once the block has filled it, it is synced and renamed to ``path``.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part. Where the block fails,
    the temporary file is removed and the old file stays.

    Raises:
        DiskFullError: where there is no space left.
    """
    # The suffix stays: some writers (cv2.imwrite) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def explain_os_error(error: OSError, path: Path) -> Exception:
    """Turn "no space left" and "quota exceeded" into one clear line; give any other error back as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"{path} could not be written: the disk is full; free some space and run the command again"
        )
    return error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a gray picture (H, W) or an RGB one (H, W, 3), uint8, as PNG, whole or not at all."""
    encoded = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write a CSV file with a header whole or not at all.

    Args:
        path: the file.
        rows: one mapping a row.
        columns: their order; by default that of the first row.
    """
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, fieldnames=list(columns or rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def replace_section(path: Path, name: str, make_text: Callable[[], str]) -> str:
    """Give the content of a Markdown file with a text between its lines ``<!-- NAME:begin -->`` and ``:end``.

    The text is made once the file is known to have its place.

    Raises:
        InputError: for a file that is missing or has no such lines.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, has_begin, rest = path.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise InputError(
            f"{path} has no place for the {name} section: put the lines {begin} and {end} where it belongs"
        )
    return f"{before}{begin}\n{make_text()}\n{end}{after}"
