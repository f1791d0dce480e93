"""The index of released checkpoints.

``checkpoints/`` of a clone has it with the released files, as ``acsnet.released`` of a wheel does.
"""

import fnmatch
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acsnet._utils.json_text import parse_json
from acsnet._utils.naming import look_up
from acsnet._utils.reading import read_text
from acsnet.checkpoints.metadata import MemberNetwork
from acsnet.checkpoints.operating_points import Rate
from acsnet.errors import CheckpointError

INDEX_NAME = "index.json"
INDEX_FORMAT: Final = 1
_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has the folder inside the package; a clone has it next to the package.
_PLACES = (_PACKAGE / "released", _PACKAGE.parent / "checkpoints")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Section(BaseModel):
    """Base class of the sections of the index: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Estimate(Section):
    """A metric with its confidence interval.

    Attributes:
        estimate: value of the metric, or None if it is undefined.
        low: lower bound of the interval, or None if it cannot be computed.
        high: upper bound of the interval, or None if it cannot be computed.
        reason: why a value is None or the interval is unreliable; otherwise "".
    """

    estimate: float | None
    low: float | None
    high: float | None
    reason: str = ""


class TestedOperatingPoint(Section):
    """Sensitivity and specificity of "malignant" at an operating point.

    Attributes:
        threshold: threshold of the probability of "malignant", after the temperature.
        chosen: ``sensitivity`` and ``specificity`` on the images on which the threshold was chosen.
        tested: the same on the tested images.
    """

    threshold: float
    chosen: dict[str, Rate]
    tested: dict[str, Rate]


class TestedOperatingPoints(Section):
    """The operating points of a released file on the tested images.

    Attributes:
        temperature: temperature of the class probabilities.
        mask_threshold: mask threshold at the operating points, or None for that of the configuration.
        classes: number of images of each class on which the points were chosen.
        source: the predictions on which the points were chosen, in words.
        level: confidence level of the intervals.
        points: the points by name.
    """

    temperature: float
    mask_threshold: float | None
    classes: dict[str, int]
    source: str
    level: float
    points: dict[str, TestedOperatingPoint]


class WorstCase(Section):
    """An image with a poor prediction.

    Attributes:
        image: name within the dataset.
        label: true class.
        predicted: predicted class, or None for a network without classification.
        probability: predicted probability of the true class, 0 to 1.
        dice: Dice of the predicted mask, 0 to 1.
    """

    image: str
    label: str
    predicted: str | None
    probability: float | None
    dice: float | None


class ReleasedTest(Section):
    """The result of a test of the released file.

    Attributes:
        datasets: number of images per dataset.
        subset: ``test``, or ``all`` for all images.
        n: number of images.
        groups: number of groups of images.
        classes: number of images per class.
        dataset_hash: hash of the names, labels and pixels of the tested images.
        split_hash: hash of the split, or None for a test of all images.
        protocol: how metrics are computed.
        threshold: threshold of the mask probability.
        overrides: values of ``--set`` with which ``acsnet test`` repeats the test, except the location of the data.
        level: confidence level of the intervals.
        metrics: metrics by the names that ``acsnet.statistics`` uses.
        worst_cases: images with the lowest Dice, and the misclassified images with the most confident predictions.
        operating_points: operating points of the file on the tested images, or None if it has none.
        renormalized: for images without some of the classes, the metrics with the probabilities renormalized over the
            other classes: ``accuracy``, ``auroc_malignant``, ``sensitivity``, ``specificity``; otherwise empty.
    """

    datasets: dict[str, int]
    subset: Literal["test", "all"]
    n: Annotated[int, Field(ge=1)]
    groups: Annotated[int, Field(ge=1)]
    classes: dict[str, int]
    dataset_hash: str
    split_hash: str | None
    protocol: str
    threshold: float
    overrides: tuple[str, ...]
    level: float
    metrics: dict[str, Estimate]
    worst_cases: tuple[WorstCase, ...]
    operating_points: TestedOperatingPoints | None = None
    renormalized: dict[str, float | None] = {}

    @property
    def settings(self) -> tuple[str, ...]:
        """Overrides of the section ``evaluation``; none if the test uses the settings of the training."""
        return tuple(override for override in self.overrides if override.startswith("evaluation."))


class ReleasedCrossValidation(Section):
    """The cross-validation of a recipe: every image is predicted by the training that has not seen it.

    Attributes:
        folds: number of folds.
        n: number of images.
        groups: number of groups of images, which are never on two sides of a fold.
        classes: number of images per class.
        split_hashes: hash of the split of each fold, sorted.
        overrides: values of ``--set`` with which ``acsnet crossval`` repeats it from the recipe, except the location
            of the data.
        level: confidence level of the intervals.
        metrics: metrics of all images, by the names that ``acsnet.statistics`` uses.
    """

    folds: Annotated[int, Field(ge=2)]
    n: Annotated[int, Field(ge=1)]
    groups: Annotated[int, Field(ge=1)]
    classes: dict[str, int]
    split_hashes: tuple[str, ...]
    overrides: tuple[str, ...]
    level: float
    metrics: dict[str, Estimate]


class Recipe(Section):
    """Training command of a network: ``acsnet train CONFIG --set ...`` with a configuration of this repository.

    Attributes:
        config: path of the configuration within the repository.
        overrides: values of ``--set``.
        before: commands to run first, if training starts from the weights of another network, or for the other members
            of an ensemble.
        after: commands to run after the training, which combine the members of an ensemble.
    """

    config: str
    overrides: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class ReleasedInput(Section):
    """Size of the network's input in pixels, to which images are resized, and its number of channels."""

    height: int
    width: int
    channels: int


class ReleasedData(Section):
    """Training data: datasets, number of images before the split, and hash of their names, labels and pixels."""

    names: tuple[str, ...]
    n: int
    hash: str


class ReleasedCheckpoint(Section):
    """The index entry of a released checkpoint.

    Attributes:
        file: file name, next to the index or below its address.
        size: size in bytes.
        sha256: SHA-256 in hexadecimal digits.
        model: name of the network in the registry.
        arguments: arguments of the network, except those that the configuration has elsewhere.
        parameters: number of parameters, summed over all members.
        members: number of networks in the file; more than one is an ensemble.
        networks: the network of each member of an ensemble of different networks; otherwise empty.
        classes: classes in the order of the logits.
        input: size and channels of the input.
        recipe: training command.
        data: training data.
        split_hash: hash of the split of that data, or None for an ensemble of several splits.
        tests: results of tests.
        crossval: cross-validation of the recipe, or None if there is none.
        intended_use: what the checkpoint is for.
        limits: known limitations, one sentence each.
        code_version: version of this package that trained it.
        license: license of the weights.
    """

    file: Annotated[str, Field(pattern=r"^[\w-]+\.safetensors$")]
    size: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model: str
    arguments: dict[str, Any]
    parameters: Annotated[int, Field(ge=1)]
    members: Annotated[int, Field(ge=1)] = 1
    networks: tuple[MemberNetwork, ...] = ()
    classes: tuple[str, ...]
    input: ReleasedInput
    recipe: Recipe
    data: ReleasedData
    split_hash: str | None
    tests: tuple[ReleasedTest, ...] = ()
    crossval: ReleasedCrossValidation | None = None
    intended_use: str
    limits: tuple[str, ...]
    code_version: str
    license: str


class ReleaseIndex(Section):
    """The index of released checkpoints.

    Attributes:
        format: version of the format.
        address: URL below which missing files are downloaded, or "" if there is none.
        checkpoints: entries by released name.
    """

    format: Literal[1] = INDEX_FORMAT
    address: Annotated[str, Field(pattern=r"^(https?://.*)?$")] = ""
    checkpoints: dict[Name, ReleasedCheckpoint] = {}


def index_folder() -> Path:
    """Return the folder of the index, the released files and the lists of released splits.

    Raises:
        CheckpointError: if there is no index.
    """
    for place in _PLACES:
        if (place / INDEX_NAME).is_file():
            return place
    raise CheckpointError(
        f"there is no index of released checkpoints ({_PLACES[-1] / INDEX_NAME}): install acsnet again"
    )


def read_index(folder: str | Path | None = None) -> ReleaseIndex:
    """Read the index in a folder, by default in :func:`index_folder`.

    Raises:
        CheckpointError: if the index is missing, invalid or of a newer format.
    """
    folder = None if folder is None else Path(folder)
    path = (folder or index_folder()) / INDEX_NAME
    try:
        content = parse_json(read_text(path))
    except FileNotFoundError:
        raise CheckpointError(f"there is no index of released checkpoints {path}") from None
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): check the file and its permissions, or copy it again from the "
            "release"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}): copy it again from the release") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != INDEX_FORMAT:
        raise CheckpointError(
            f"{path} has format {version!r:.40}, this version of acsnet reads {INDEX_FORMAT}: upgrade acsnet"
        )
    try:
        return ReleaseIndex.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: the entry {key!r} is invalid: {first['msg']}") from error


def list_checkpoints(pattern: str = "*") -> list[str]:
    """Return the sorted names of the released checkpoints that match a wildcard pattern.

    Args:
        pattern: a pattern such as ``"acsnet_*"``.

    Raises:
        CheckpointError: if the index is missing or invalid.

    Example:
        >>> import acsnet
        >>> "acsnet_busi" in acsnet.list_checkpoints("acsnet_*")
        True
    """
    return sorted(fnmatch.filter(read_index().checkpoints, pattern))


def released_checkpoint(name: str, hint: str = "") -> ReleasedCheckpoint:
    """Return the index entry of a released checkpoint.

    Args:
        name: the released name.
        hint: what else an unknown name may be, for the message; by default how to list all names.

    Raises:
        UnknownNameError: if the name is not released; the message lists near matches.
        CheckpointError: if the index is missing or invalid.
    """
    released = read_index().checkpoints
    known = f"released are {', '.join(released)}; the path of a file ends in .safetensors"
    return look_up("released checkpoint", name, released, hint or known)
