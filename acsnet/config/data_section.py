"""The section ``data``: the images, their classes and their split."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from acsnet.config.bounds import Flag, Mean, NumberOrWord, PrintableName, Real, Side, StandardDeviation, Whole
from acsnet.config.section import Section, UserPath, UserPaths, none_is_empty
from acsnet.labels import CLASS_NAMES

Subset = Literal["train", "val", "test", "all"]


ClassMap = Annotated[dict[str, str], BeforeValidator(none_is_empty)]

VALIDATED_ON_TEST = "test"


class FoldsConfig(Section):
    """The random split: fold ``index`` of ``count`` is tested, or the fraction ``test`` in a single split."""

    count: Annotated[Whole, Field(ge=2)] = Field(default=5, description="Number of folds.")
    index: Annotated[Whole, Field(ge=0)] = Field(default=0, description="The tested fold, 0 to count - 1.")
    test: Annotated[Real, Field(gt=0, le=0.5)] | None = Field(
        default=None, description="Fraction of the images that is tested in a single split, instead of count and index."
    )
    validation: Annotated[
        float | Literal["test"], BeforeValidator(NumberOrWord(0.5, VALIDATED_ON_TEST, allows_limit=True))
    ] = Field(
        default=0.125,
        description="Fraction of the remaining images that is the validation subset, or test to validate on the test "
        "subset, as some publications do, which marks the checkpoint as selected on it.",
    )
    grouped: Flag = Field(
        default=True,
        description="Keep copies and all images of a patient in one subset, and balance classes and lesion sizes "
        "between subsets; false splits at random, as scikit-learn does.",
    )
    stratified: Flag = Field(
        default=False, description="Balance the classes of a split at random; needs grouped: false."
    )
    seed: Whole = Field(default=0, description="Seed of the split.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        return {key: value for key, value in content.items() if value is not None or key not in WAYS_TO_TEST}

    @model_validator(mode="after")
    def _one_way_to_test(self) -> "FoldsConfig":
        if self.test is not None and self.model_fields_set & {"count", "index"}:
            both = [f"{key} ({getattr(self, key)})" for key in WAYS_TO_TEST if key in self.model_fields_set]
            raise ValueError(
                f"{', '.join(both)} are set together: set count and index for folds, or test for a single split, "
                "and null for the other"
            )
        if self.stratified and self.grouped:
            raise ValueError(
                "stratified and grouped are both true: groups are always balanced by class; set grouped to false for a "
                "stratified split at random"
            )
        if self.index >= self.count:
            raise ValueError(f"index is {self.index}; with count {self.count} it must be at most {self.count - 1}")
        return self

    @model_serializer(mode="wrap")
    def _only_used_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {"test"} if self.test is None else {"count", "index"}
        if not self.stratified:
            unused.add("stratified")
        return {key: value for key, value in serialize(self).items() if key not in unused}


WAYS_TO_TEST = ("count", "index", "test")
WAYS_TO_NAME_DATA = ("root", "records")


class DataConfig(Section):
    """The images, their classes and their split; exactly one of ``root`` and ``records`` is needed to read data."""

    root: UserPath | None = Field(default=None, description="Folder of the images in the published layout of dataset.")
    dataset: str = Field(
        default="busi", description="Dataset whose layout root has; acsnet.data.list_datasets() lists all."
    )
    records: UserPaths | None = Field(
        default=None, description="A CSV table of records, or a list of them, instead of root."
    )
    class_map: ClassMap = Field(
        default={}, description="Class of each label of the data, as in {cyst: benign}; null removes an inherited map."
    )
    classes: tuple[PrintableName, ...] = Field(
        default=CLASS_NAMES, description="Class names in the order of the outputs of the model."
    )
    image_size: tuple[Side, Side] = Field(
        default=(256, 256), description="Height and width that images are resized to."
    )
    crop_margins: Flag = Field(
        default=False,
        description="Crop each image to the scanned region, without uniform margins of any color, frames and rulers; "
        "predicted masks have the size of the whole image, and the checkpoint stores the key.",
    )
    keep_aspect: Flag = Field(
        default=False,
        description="Keep the ratio of height and width, and pad the image to image_size with the gray value of mean "
        "instead of stretching it; the checkpoint stores the key.",
    )
    mean: Annotated[tuple[Mean, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Mean of the normalization (pixel / 255 - mean) / std, one value or one per channel; null is that "
        "of the training of model.encoder_weights, or 0.330 without them.",
    )
    std: Annotated[tuple[StandardDeviation, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Standard deviation of the normalization, one value or one per channel; null is that of the "
        "training of model.encoder_weights, or 0.204 without them.",
    )
    image_list: UserPath | None = Field(
        default=None,
        description="The images to use, others are left out: a CSV list with the columns class and id, whose order "
        "folds at random follow, or the name of a released split, all of whose subsets are used.",
    )
    allow_missing: Flag = Field(
        default=False,
        description="Train although images of image_list, or of the data of the publication, are missing.",
    )
    folds: FoldsConfig = Field(default=FoldsConfig(), description="The random split.")
    split_file: UserPath | None = Field(
        default=None,
        description="Subset of each image, instead of folds: a CSV table such as split.csv of a run, or the name of a "
        "released split.",
    )
    split: Subset = Field(default="test", description="Subset that acsnet test tests.")
    oversample: Literal[False, "largest_class", "aumente2025"] = Field(
        default=False,
        description="Repeat the training images of small classes, without randomness: largest_class until all classes "
        "are about as frequent as the largest one, aumente2025 by the rule of that publication, or false.",
    )
    plain_copies: Flag = Field(
        default=False, description="Also show each training image without augmentation, once per epoch."
    )
    cache: UserPath | None = Field(
        default=None,
        description="Folder of decoded images; null is the environment variable ACSNET_CACHE, or ~/.cache/acsnet.",
    )
    workers: Annotated[Whole, Field(ge=0, le=1024)] = Field(
        default=0, description="Worker processes that load training images."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if self.root is not None and self.records is not None:
            raise ValueError("root and records are both set: set the folder or the table, and null for the other")
        if self.records is not None and len(set(self.records)) != len(self.records):
            raise ValueError(f"records is {[str(path) for path in self.records]}: name each table once")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes is {list(self.classes)}: name at least one class, each once")
        return self
