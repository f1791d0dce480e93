"""Operating points of a classifier: temperature and thresholds, with the rates that they reached where chosen."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from acsnet.config.bounds import PrintableName, Real, Whole

MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
_Share = Annotated[Real, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rate(_Section):
    """A fraction of images with its interval.

    Attributes:
        value: the fraction, or None without images.
        low: lower bound of the interval, or None without images.
        high: upper bound of the interval, or None without images.
        n: number of images.
    """

    value: _Share | None
    low: _Share | None
    high: _Share | None
    n: Annotated[Whole, Field(ge=0)]


class OperatingPoint(_Section):
    """A threshold of the probability of "malignant".

    An image is classified as malignant if its probability of "malignant", after the temperature, is at least the
    threshold, and otherwise as the most probable other class.

    Attributes:
        threshold: the threshold.
        aim: the rate that was demanded.
        target: the demanded value of the rate, 0 to 1.
        sensitivity: reached sensitivity on the images on which the threshold was chosen.
        specificity: reached specificity on them.
    """

    threshold: _Share
    aim: Literal["sensitivity", "specificity"]
    target: Annotated[Real, Field(gt=0, le=1)]
    sensitivity: Rate
    specificity: Rate


class OperatingPoints(_Section):
    """Temperature and thresholds of a checkpoint, and the images on which they were chosen.

    Attributes:
        temperature: the class probabilities are raised to the power 1 / temperature and divided by their sum. For one
            network without averaging, this divides its logits by the temperature.
        negative_log_likelihood: mean over images, before and after the temperature.
        mask_threshold: lowest mask probability of the foreground, or None if only the classes were calibrated: the
            threshold of the configuration is used.
        points: the points by name, such as ``specificity_90``.
        classes: number of images of each class on which everything was chosen. These are the classes over which the
            probabilities were normalized.
        source: the predictions, in words.
        split_hashes: hashes of the splits of the predicting trainings, sorted.
        level: confidence level of the intervals.
        weights_sha256: SHA-256 of the tensors in the file for which the points were chosen; a later conversion to half
            precision changes it.

    Example:
        >>> from acsnet.checkpoints import OperatingPoints
        >>> points = OperatingPoints(
        ...     temperature=1.5, negative_log_likelihood=(0.6, 0.5), classes={"benign": 40, "malignant": 20},
        ...     source="validation subset",
        ... )
        >>> points.images, points.mask_threshold
        (60, None)
    """

    temperature: Annotated[Real, Field(ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)]
    negative_log_likelihood: tuple[Real, Real]
    mask_threshold: Annotated[Real, Field(gt=0, lt=1)] | None = None
    points: dict[PrintableName, OperatingPoint] = {}
    classes: dict[PrintableName, Annotated[Whole, Field(ge=0)]]
    source: str
    split_hashes: tuple[str, ...] = ()
    level: Annotated[Real, Field(gt=0, lt=1)] = 0.95
    weights_sha256: str | None = None

    @property
    def images(self) -> int:
        """Number of images on which the temperature and the thresholds were chosen."""
        return sum(self.classes.values())

    def chosen(self) -> dict[str, Any]:
        """Return temperature, thresholds and rates as plain values.

        The keys are ``temperature``, ``mask_threshold``, ``classes``, ``source``, ``level`` and ``points``: per name
        ``threshold``, ``aim``, ``target``, and under ``chosen`` the ``sensitivity`` and ``specificity`` with their
        intervals.
        """
        content = self.model_dump(include={"temperature", "mask_threshold", "classes", "source", "level"})
        content["points"] = {
            name: {
                **point.model_dump(include={"threshold", "aim", "target"}),
                "chosen": point.model_dump(include={"sensitivity", "specificity"}),
            }
            for name, point in self.points.items()
        }
        return content
