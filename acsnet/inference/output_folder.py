"""The output folder of a prediction or a test: results of an earlier one are refused, or removed on request."""

import os
from collections.abc import Sequence
from pathlib import Path

from acsnet._utils.csv_io import read_csv
from acsnet._utils.result_names import ResultNames
from acsnet.data.frame_paths import split_frame
from acsnet.errors import DataError, RunError
from acsnet.inference.input_files import OUTPUT_FILES, OUTPUT_FOLDERS, TABLE, TEST_FILES, TEST_FOLDERS, UNFINISHED_TABLE

PREDICTION_RESULTS = ResultNames(
    "prediction",
    marks=((TABLE,), (UNFINISHED_TABLE,)),
    folders=OUTPUT_FOLDERS,
    files=OUTPUT_FILES,
    suffixes=(".csv", ".dcm", ".geojson", ".mp4", ".png"),
    others=(("test", TEST_FILES[-1]),),
)
TEST_RESULTS = ResultNames(
    "test", (TEST_FILES,), TEST_FOLDERS, others=(("prediction", TABLE), ("prediction", UNFINISHED_TABLE))
)


def check_output(folder: Path, overwrite: bool) -> None:
    """Check that a prediction can be written to a folder, or an interrupted one begun again.

    Args:
        folder: the output folder, which may be missing.
        overwrite: whether results of an earlier prediction are allowed.

    Raises:
        RunError: if the folder holds the results of an earlier prediction, unless they are allowed, or of a test.
        DataError: if it holds other files of the same names.

    Example:
        >>> from acsnet.inference.output_folder import check_output
        >>> check_output(Path("a_new_folder"), overwrite=False)
    """
    PREDICTION_RESULTS.check_unused(folder, overwrite or not (folder / TABLE).is_file())


def remove_earlier(folder: Path, images: Sequence[Path], overwrite: bool) -> None:
    """Remove the results of an earlier prediction that :func:`check_output` allows, so that nothing mixes.

    An interrupted prediction of images that are all predicted again needs no permission.

    Args:
        folder: the output folder.
        images: the images to predict.
        overwrite: whether finished images of an interrupted prediction may be removed.

    Raises:
        RunError: if they may not be removed, and would not be predicted again.
        DataError: if an image is itself one of the results.
        WriteError: if the results cannot be removed.
    """
    if not PREDICTION_RESULTS.are_in(folder):
        return
    results = [(folder / name).resolve() for name in OUTPUT_FOLDERS]
    for image in images:
        file = split_frame(image)[0].resolve()
        if any(file.is_relative_to(result) for result in results):
            raise DataError(
                f"{image} is itself a result of the prediction in {folder}, which would be removed: name the image "
                "that was predicted, or choose another folder by --out"
            )
    unfinished = folder / UNFINISHED_TABLE
    if not overwrite and unfinished.is_file():
        _, rows = read_csv(unfinished, "", names=("image",))
        lost = {row.get("image") for _, row in rows} - {os.fspath(image) for image in images}
        if lost:
            raise RunError(
                f"{folder} holds an interrupted prediction of {len(lost)} other image{'s' if len(lost) > 1 else ''}: "
                "choose another folder by --out, name its images too, or pass --overwrite, which removes its results"
            )
    PREDICTION_RESULTS.clear(folder)
