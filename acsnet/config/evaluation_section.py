"""The section ``evaluation``: testing and predicting."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from acsnet.config.bounds import MAX_BATCH, MAX_SCALES, Flag, NumberOrWord, Real, Whole
from acsnet.config.section import PositiveReal, Section


class RefiningConfig(Section):
    """Prediction refining (Aumente-Maestro et al. 2025), off by default."""

    empty_mask_for_normal: bool = Field(
        default=False, description="Clear the mask of an image that is classified as normal."
    )
    normal_for_empty_mask: bool = Field(default=False, description="Classify an image with an empty mask as normal.")


class TestTimeAugmentationConfig(Section):
    """Test-time augmentation: predictions are averaged over all combinations of flips and scales."""

    horizontal_flip: Flag = Field(default=False, description="Also predict the image flipped left to right.")
    vertical_flip: Flag = Field(default=False, description="Also predict the image flipped upside down.")
    scales: Annotated[tuple[PositiveReal, ...], Field(min_length=1, max_length=MAX_SCALES)] = Field(
        default=(1.0,), description="Factors of the input size."
    )

    @field_validator("scales")
    @classmethod
    def _each_once(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(scales)) != len(scales):
            raise ValueError(f"scales is {list(scales)}: name each scale once")
        return scales


class PostprocessingConfig(Section):
    """Postprocessing of a thresholded mask, in the order of the keys."""

    minimum_area: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Remove components smaller than this fraction of the image."
    )
    largest_component: Flag = Field(default=False, description="Keep the largest component only.")
    fill_holes: Flag = Field(default=False, description="Fill holes in the mask.")


CHOSEN_ON_VALIDATION = "validation"
# The keys of acsnet.metrics.published.PUBLISHED_METRICS, which a configuration may not import.
PublicationName = Literal["he2024", "chung2024", "aumente2025", "eee402"]
# Publications whose metrics need both tasks; the others also report networks of one task.
METRICS_OF_BOTH_TASKS = frozenset[PublicationName]({"he2024", "eee402"})


class EvaluationConfig(Section):
    """Testing and predicting, in the order of the keys."""

    batch_size: Annotated[Whole, Field(ge=1, le=MAX_BATCH)] = Field(default=8, description="Images per batch.")
    test_time_augmentation: TestTimeAugmentationConfig = Field(
        default=TestTimeAugmentationConfig(), description="Test-time augmentation."
    )
    threshold: Annotated[float | Literal["validation"], BeforeValidator(NumberOrWord(1, CHOSEN_ON_VALIDATION))] = Field(
        default=0.5,
        description="Lowest mask probability of the foreground; validation chooses it on the validation subset of a "
        "test.",
    )
    postprocessing: PostprocessingConfig = Field(default=PostprocessingConfig(), description="Postprocessing of masks.")
    refining: RefiningConfig = Field(default=RefiningConfig(), description="Prediction refining.")
    published_metrics: tuple[PublicationName, ...] = Field(
        default=(),
        description="Publications whose own metrics a test adds to metrics.json, counted as their code counts them.",
    )
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = Field(
        default=None,
        description="Classes over which the probabilities are renormalized and between which is decided, such as "
        "[benign, malignant] for images without normal cases, or null for all classes of the network.",
    )
    operating_point: str | None = Field(
        default=None,
        description="Operating point of the checkpoint, such as specificity_90: its temperature, its threshold of the "
        "probability of malignant and its mask threshold are used; null for the most probable class.",
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _several_classes(cls, names: Any) -> Any:
        if isinstance(names, list | tuple) and (len(names) < 2 or len({*map(str, names)}) != len(names)):
            raise ValueError(
                f"classes is {list(names)}: name at least two classes, each once, or null for all of the network"
            )
        return names

    @field_validator("published_metrics")
    @classmethod
    def _each_publication_once(cls, names: tuple[PublicationName, ...]) -> tuple[PublicationName, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"published_metrics is {list(names)}: name each publication once")
        return names
