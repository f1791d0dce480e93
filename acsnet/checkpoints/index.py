"""The index of released checkpoints: ``checkpoints/index.json`` of a clone, shipped in a wheel as package data."""

import fnmatch
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acsnet._utils.naming import look_up
from acsnet.errors import CheckpointError

INDEX_NAME = "index.json"
_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel has the index alone, inside the package; a clone has it beside the package, with the files.
_PLACES = (_PACKAGE / "released", _PACKAGE.parent / "checkpoints")
LISTING = 'acsnet.list_checkpoints("*") lists all; the path of a file ends in .safetensors'

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Section(BaseModel):
    """Base of the index's parts: unknown keys are errors, objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Figure(Section):
    """A measured figure with its interval.

    Attributes:
        estimate: None where it is undefined.
        low, high: the bounds of the interval; None where they cannot be given.
        reason: why something is None, or what is odd about the interval; else "".
    """

    estimate: float | None
    low: float | None
    high: float | None
    reason: str = ""


class WorstCase(Section):
    """An image that the network is bad at.

    Attributes:
        image: its name within the dataset.
        label, predicted: its class, and the predicted one.
        probability: that the network gave to its class.
        dice: of its mask.
    """

    image: str
    label: str
    predicted: str | None
    probability: float | None
    dice: float | None


class ReleasedTest(Section):
    """What a test of the released file gave.

    Attributes:
        datasets: how many images of which dataset.
        subset: of the split, or ``all``.
        n: the images.
        groups: of how many groups.
        classes: how many images of each class.
        dataset_hash: of the tested images' names, labels and pixels.
        split_hash: of the split, or None for a test of all images.
        protocol: how figures are computed.
        threshold: of the mask's probability.
        overrides: what ``tools/test.py`` needs by ``--set`` to do the same test, but for where the data lies.
        level: of confidence of the intervals.
        metrics: by the names of ``acsnet.statistics.METRICS``.
        worst_cases: the images with the lowest Dice, and the misclassified ones of which the network was surest.
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
    metrics: dict[str, Figure]
    worst_cases: tuple[WorstCase, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The overrides of the evaluation: none where it is that of the training."""
        return tuple(override for override in self.overrides if override.startswith("evaluation."))


class Recipe(Section):
    """How to train it: ``tools/train.py CONFIG --set ...`` with a configuration of this repository.

    Attributes:
        config: its path within the repository.
        overrides: what ``--set`` is given.
        before: the commands to run first, where training starts from weights of another.
    """

    config: str
    overrides: tuple[str, ...]
    before: tuple[str, ...] = ()


class ReleasedInput(Section):
    """What the network takes: images are resized to (height, width)."""

    height: int
    width: int
    channels: int


class ReleasedData(Section):
    """What it was trained on: datasets, images before the split, and the hash of their names, labels and pixels."""

    names: tuple[str, ...]
    n: int
    hash: str


class ReleasedCheckpoint(Section):
    """What is known of a released checkpoint.

    Attributes:
        file: its name beside the index, or below the index's address.
        size: in bytes.
        sha256: in hexadecimal digits.
        model: the network's name in the registry.
        arguments: what it was built with, apart from what the configuration says elsewhere.
        parameters: how many it has, with all members.
        members: how many networks the file holds; several are an ensemble.
        classes: in the order of the logits.
        input: what the network takes.
        recipe: how it was trained.
        data: what it was trained on.
        split_hash: of that data's split; None for an ensemble of several splits.
        tests: the released figures.
        intended_use, limits: what it is for, and what it is not good at.
        code_version: the version of this package that trained it.
        license: of the weights.
    """

    file: Annotated[str, Field(pattern=r"^[\w-]+\.safetensors$")]
    size: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    model: str
    arguments: dict[str, Any]
    parameters: Annotated[int, Field(ge=1)]
    members: Annotated[int, Field(ge=1)] = 1
    classes: tuple[str, ...]
    input: ReleasedInput
    recipe: Recipe
    data: ReleasedData
    split_hash: str | None
    tests: tuple[ReleasedTest, ...] = ()
    intended_use: str
    limits: tuple[str, ...]
    code_version: str
    license: str


class ReleaseIndex(Section):
    """The index.

    Attributes:
        format: of the index.
        address: below which files are fetched that do not lie beside the code; "" where there is none.
        checkpoints: by name.
    """

    format: Literal[1] = 1
    address: Annotated[str, Field(pattern=r"^(https?://.*)?$")] = ""
    checkpoints: dict[Name, ReleasedCheckpoint] = {}


def index_folder() -> Path:
    """The folder of the index; in a clone, that of the released files too.

    Raises:
        CheckpointError: where there is no index.
    """
    for place in _PLACES:
        if (place / INDEX_NAME).is_file():
            return place
    raise CheckpointError(
        f"there is no index of released checkpoints ({_PLACES[-1] / INDEX_NAME}): install acsnet again"
    )


def read_index(folder: Path | None = None) -> ReleaseIndex:
    """Read the index of a folder, by default that of :func:`index_folder`.

    Raises:
        CheckpointError: for an index that is missing, broken or of a newer format.
    """
    path = (folder or index_folder()) / INDEX_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"there is no index of released checkpoints {path}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}): copy it again from the release") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != 1:
        raise CheckpointError(f"{path} has format {version!r}, this version of acsnet reads 1: upgrade acsnet")
    try:
        return ReleaseIndex.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: the entry {where!r} cannot be used: {first['msg']}") from error


def list_checkpoints(pattern: str = "*") -> list[str]:
    """Return the sorted names of released checkpoints that fit a wildcard pattern, as in ``"acsnet_*"``.

    Raises:
        CheckpointError: where the index is missing or broken.
    """
    return sorted(fnmatch.filter(read_index().checkpoints, pattern))


def released_checkpoint(name: str) -> ReleasedCheckpoint:
    """Return what is known of a released checkpoint.

    Raises:
        UnknownNameError: with near matches.
        CheckpointError: where the index is missing or broken.
    """
    return look_up("released checkpoint", name, read_index().checkpoints, LISTING)
