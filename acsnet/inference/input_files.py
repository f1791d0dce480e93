"""Images among files and folders, in the order in which they are predicted."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.file_kinds import SUPPORTED_FORMATS, check_file
from acsnet._utils.listing import list_images, log_left_out
from acsnet._utils.paths import AnyPaths, list_paths
from acsnet.data.dicom import NoImageError
from acsnet.data.frame_facts import has_frames, read_frame_facts
from acsnet.data.frame_paths import split_frame
from acsnet.data.image_files import file_identity, is_mask
from acsnet.errors import DataError
from acsnet.inference.saved_predictions import result_name

logger = logging.getLogger(__name__)

# Files and folders of a finished prediction, and the finished rows of one that was interrupted.
TABLE = "predictions.csv"
UNFINISHED_TABLE = "predictions.unfinished.csv"
LESION_TABLE = "lesions.csv"
OUTPUT_FILES = (LESION_TABLE, "coco.json")
OUTPUT_FOLDERS = (
    *("masks", "overlays", "uncertainty", "explanations", "videos"),
    *("contours", "dicom_seg", "geojson", "labels"),
)
# Those of a test.
TEST_FILES = ("metrics.json", "cases.csv")
TEST_FOLDERS = ("masks", "probabilities")


def find_images(inputs: AnyPaths) -> list[tuple[Path, Path]]:
    """List the images among files and folders, each once.

    Images are recognized by their first bytes, not by their names. In folders, hidden files and folders and those of
    operating systems are ignored; masks (``*_mask.png``), results of earlier predictions and tests and all
    other files are left out, which is logged with their number. A video or a DICOM file with several frames is expanded
    into its frames, such as "cine.dcm#3". One file with two names is predicted once.

    Args:
        inputs: images, videos, folders of them, or single frames of DICOM files and videos.

    Returns:
        Pairs of the image and the path of its results, without suffix, relative to the output folder.

    Raises:
        DataError: if an input is missing or not an image, a folder has no images or holds results, or the results of
            two inputs would have the same path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from acsnet.inference import find_images
        >>> from acsnet.phantom import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_phantoms(Path(folder) / "set", {"benign": 2}, size=(64, 64), progress=False)
        ...     [name.as_posix() for _, name in find_images([Path(folder)])]
        ['set/benign/benign (1)', 'set/benign/benign (2)']
    """
    inputs = list_paths(inputs)
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            if _result_folder(path) is not None:
                raise DataError(f"{path} holds results of an earlier prediction or test: name the folder of the images")
            found += _in_folder(path)
            continue
        file, frame = split_frame(path)
        if not os.path.lexists(file):
            raise DataError(f"there is no file or folder {path}: name images, videos or folders of them")
        check_file(file)
        found += _results(path, Path(file.name), frame)
    found = _without_repetitions(found)
    sources: dict[Path, Path] = {}
    for file, name in found:
        if sources.setdefault(name, file) != file:
            raise DataError(f"{sources[name]} and {file} would both be written as {name}.png: predict them separately")
    return found


def _in_folder(folder: Path) -> list[tuple[Path, Path]]:
    listing = list_images(folder, recursive=True, reason_to_skip=_result_folder, videos=True)
    left_out = listing.left_out
    found: list[tuple[Path, Path]] = []
    for path in listing.images:
        if is_mask(path):
            left_out.setdefault("masks", []).append(path)
            continue
        try:
            found += _results(path, path.relative_to(folder), None)
        except NoImageError:
            left_out.setdefault("DICOM files without an image", []).append(path)
    log_left_out(folder, left_out)
    if not found:
        raise DataError(f"{folder} has no images ({SUPPORTED_FORMATS})")
    return found


def _result_folder(folder: Path) -> str | None:
    """Return why a folder is left out if it holds results of this package."""
    parent = folder.parent
    if folder.name in OUTPUT_FOLDERS and has_table(parent):
        return "folders with results of a prediction"
    if folder.name in TEST_FOLDERS and all((parent / name).is_file() for name in TEST_FILES):
        return "folders with results of a test"
    return None


def _results(path: Path, relative: Path, frame: int | None) -> list[tuple[Path, Path]]:
    """Return the image, or each frame of a file of several, with the name of its results.

    Raises:
        NoImageError: if a DICOM file holds no image.
    """
    if frame is not None or not has_frames(path):
        return [(path, result_name(relative, frame))]
    try:
        count = read_frame_facts(path).frames
    except NoImageError:
        raise
    except DataError:
        # Reported later, with all other files that cannot be read.
        count = 1
    if count == 1:
        return [(path, result_name(relative))]
    return [(path.with_name(f"{path.name}#{number}"), result_name(relative, number)) for number in range(count)]


def _without_repetitions(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    first: dict[tuple[object, ...], tuple[Path, Path]] = {}
    for file, name in found:
        kept, _ = first.setdefault(file_identity(file), (file, name))
        if os.path.normpath(os.path.abspath(kept)) != os.path.normpath(os.path.abspath(file)):
            logger.warning("left out %s: it is the same file as %s", file, kept)
    return [*first.values()]


def has_table(folder: Path) -> bool:
    """Return whether a folder has the table of a prediction, finished or not."""
    return any((folder / name).is_file() for name in (TABLE, UNFINISHED_TABLE))
