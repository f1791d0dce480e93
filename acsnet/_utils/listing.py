"""Listing of the images in folders, and of everything that is left out."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from acsnet._utils.file_kinds import IMAGE_SUFFIXES, file_fault, file_format, is_video_file, unsupported_format

logger = logging.getLogger(__name__)

_SHOWN = 5
# Files and folders that operating systems, servers and archives make, in lower case; and all hidden ones.
_SYSTEM_NAMES = frozenset(
    {
        "@eadir", "@recycle", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information",
        "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini",
    }
)  # fmt: skip


class Listing(NamedTuple):
    """Files of a folder.

    Attributes:
        images: Images and masks.
        left_out: All other files and folders of the user, by the reason.
    """

    images: list[Path]
    left_out: dict[str, list[Path]]


def list_images(
    root: Path,
    recursive: bool,
    reason_to_skip: Callable[[Path], str | None] = lambda folder: None,
    videos: bool = False,
) -> Listing:
    """List the images of a folder, sorted by path, and what is left out.

    Args:
        root: The folder.
        recursive: Also list the folders below it, each once; links to folders are followed.
        reason_to_skip: Returns why a folder is left out, or None.
        videos: Also list videos.
    """
    listing = Listing([], {})
    seen = {_identity(root)}
    open_folders = [root]
    while open_folders:
        folder = open_folders.pop()
        try:
            entries = [*list_entries(folder)]
        except OSError as error:
            listing.left_out.setdefault(f"folders that cannot be listed ({error.strerror})", []).append(folder)
            continue
        for path in entries:
            if not path.is_dir():
                reason = None if videos and is_video_file(path) else _reason_to_leave_out(path)
            elif not recursive:
                reason = "folders"
            elif _identity(path) in seen:
                reason = "links to folders that are read already"
            else:
                reason = reason_to_skip(path)
                if reason is None:
                    seen.add(_identity(path))
                    open_folders.append(path)
                    continue
            if reason is None:
                listing.images.append(path)
            else:
                listing.left_out.setdefault(reason, []).append(path)
    return Listing(sorted(listing.images), listing.left_out)


def log_left_out(root: Path, left_out: dict[str, list[Path]]) -> None:
    """Log how many files of a folder are left out, for which reason, and the first names."""
    for reason, paths in left_out.items():
        names = [os.path.relpath(path, root) for path in sorted(paths)]
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        logger.warning("left out of %s, %s (%d): %s", root, reason, len(names), shown)


def list_entries(folder: Path) -> Iterator[Path]:
    """List files and folders, sorted, without hidden ones and those of operating systems."""
    return (path for path in sorted(folder.iterdir()) if path.name[0] != "." and path.name.lower() not in _SYSTEM_NAMES)


def _reason_to_leave_out(path: Path) -> str | None:
    # A broken link named like an image is an image that is missing: reading it is the error.
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return None
    fault = file_fault(path)
    if fault is not None:
        return f"entries that cannot be read ({fault})"
    if file_format(path):
        return None
    return "files of formats that are not read" if unsupported_format(path) else "files that are no images"


def _identity(folder: Path) -> tuple[int, int]:
    state = os.stat(folder)
    return state.st_dev, state.st_ino
