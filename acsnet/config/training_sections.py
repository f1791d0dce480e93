"""The sections of a training: transforms, losses, optimizer, schedule and the training loop."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from acsnet.config.bounds import Flag, PrintableName, Real, Seed, Whole
from acsnet.config.section import Arguments, Fraction, PositiveInt, PositiveReal, Section, UserPaths


class TransformConfig(BaseModel):
    """A transform of albumentations, ``ultrasound_transforms`` or ``screen_transforms``, with its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Class name of the transform.")

    @property
    def arguments(self) -> dict[str, Any]:
        """All keys except the name."""
        return dict(self.model_extra or {})


class LossTerm(Section):
    """One term of the loss of a task."""

    name: str = Field(description="Name of the loss.")
    weight: Annotated[Real, Field(gt=0)] = Field(default=1.0, description="Weight of the term in the sum.")
    arguments: dict[str, Any] = Field(
        default={},
        description="Arguments of the loss; class_weights and alpha of classification losses may be balanced, which "
        "computes them from the class frequencies of the training subset.",
    )


class DistillationConfig(Section):
    """Learning from a trained model in addition to the labels (Hinton et al. 2015).

    The teacher predicts each augmented batch. The loss becomes (1 - ``weight``) * loss + ``weight`` * (divergence of
    the class probabilities at the ``temperature`` + cross entropy of the mask probabilities).
    """

    teacher: UserPaths = Field(
        description="A checkpoint or released name, or a list of them whose probabilities are averaged."
    )
    weight: Annotated[Real, Field(gt=0, le=1)] = Field(default=0.5, description="Weight of the teacher in the loss.")
    temperature: PositiveReal = Field(default=2.0, description="Temperature of the class probabilities.")
    allow_other_split: Flag = Field(
        default=False,
        description="Allow a teacher of another split, which may have been trained on the test images of this run.",
    )


class LossConfig(Section):
    """The loss of each task, and their weighting."""

    segmentation: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = Field(
        default=(LossTerm(name="dice"),), description="Terms of the segmentation loss."
    )
    classification: Annotated[tuple[LossTerm, ...], Field(min_length=1)] = Field(
        default=(LossTerm(name="cross_entropy"),), description="Terms of the classification loss."
    )
    weighting: Literal["fixed", "uncertainty"] = Field(
        default="fixed",
        description="How the two losses are added: by segmentation_weight, or by learned uncertainties.",
    )
    segmentation_weight: Fraction = Field(
        default=0.5, description="Weight of the segmentation loss; classification has 1 - segmentation_weight."
    )
    deep_supervision: Literal["harmonic", "geometric", "none"] = Field(
        default="harmonic", description="Weight of the n-th further mask: 1/(n+1), 1/2^n, or 0."
    )
    distillation: DistillationConfig | None = Field(default=None, description="Learning from a teacher, or null.")


class OptimizerConfig(Section):
    """The optimizer."""

    name: PrintableName = Field(
        default="adam",
        description="Name of the optimizer: adam, adamw, sgd, any other name of timm.optim.list_optimizers(), or one "
        "that a plugin registers.",
    )
    learning_rate: Annotated[Real, Field(gt=0)] = Field(default=1e-4, description="Learning rate after warm-up.")
    weight_decay: Annotated[Real, Field(ge=0)] = Field(default=1e-4, description="Weight decay of the model.")
    epsilon: PositiveReal = Field(
        default=1e-8,
        description="Term that adam and adamw add to the denominator of a step; others take it as an argument, eps.",
    )
    momentum: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.9,
        description="Momentum of sgd, with Nesterov's method if it is above 0, and of other optimizers of timm that "
        "have one.",
    )
    arguments: Arguments = Field(
        default={}, description="Further arguments of the optimizer, such as betas, by their names in its class."
    )
    layer_decay: Annotated[Real, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Factor of the learning rate from each layer of the encoder to the one before it, also from the "
        "rest of the network, which has the full rate, to the last one; null for none.",
    )
    rates: dict[str, PositiveReal] = Field(
        default={},
        description="Factor of the learning rate by the name of parameters or modules, with wildcards, as in "
        "{encoder.*: 0.1}; the last pattern that matches counts.",
    )


class ScheduleConfig(Section):
    """The learning rate of each epoch."""

    name: Literal["cosine", "poly", "plateau", "constant"] = Field(
        default="cosine",
        description="Curve after warm-up; plateau lowers the rate if the selection score does not improve.",
    )
    warmup_epochs: Annotated[Whole, Field(ge=0)] = Field(default=0, description="Epochs of linear warm-up.")
    final_fraction: Fraction = Field(
        default=0.1, description="Rate of the last epoch, and lowest rate of plateau, as a fraction of learning_rate."
    )
    power: Annotated[Real, Field(gt=0)] = Field(default=0.9, description="Exponent of poly.")
    factor: Annotated[Real, Field(gt=0, lt=1)] = Field(default=0.5, description="Factor of the rate at a plateau.")
    threshold: Fraction = Field(
        default=0.0, description="Smallest relative improvement of the score that counts for plateau."
    )
    patience: PositiveInt = Field(
        default=10, description="Epochs without a better score after which the next one lowers the rate of plateau."
    )


def _metric_weights(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(
            f"{value!r} is not a mapping of metric to weight: write one as in {{dice: 0.7, accuracy: 0.3}}"
        )
    for name, weight in value.items():
        if weight == 0 and not isinstance(weight, bool):
            raise ValueError(f"the weight of {name} is 0: leave the metric out")
    return value


def _factor(weight: float) -> str:
    return {1.0: "", -1.0: "-"}.get(weight, f"{weight:g}*")


# Metric -> weight.
Selection = Annotated[dict[str, Real], BeforeValidator(_metric_weights)]


class FreezeConfig(Section):
    """Parameters that are not trained; their batch normalizations keep their running statistics."""

    names: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Names of parameters or modules, with wildcards, such as encoder.*."
    )
    epochs: PositiveInt | None = Field(
        default=None, description="Number of first epochs in which they are frozen, or null for all."
    )


class TrainingConfig(Section):
    """The training loop."""

    epochs: PositiveInt = Field(default=90, description="Number of epochs.")
    batch_size: PositiveInt = Field(default=8, description="Images per step, over all processes.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Number format; auto is bfloat16 if the device multiplies it faster than float32."
    )
    channels_last: bool = Field(default=True, description="Store feature maps with the channels last.")
    compile: Flag = Field(
        default=False,
        description="Speed up training steps by torch.compile, which takes a minute or more in the first step.",
    )
    gradient_clip: Annotated[Real, Field(gt=0)] | None = Field(
        default=None, description="Largest norm of the gradient, or null for no limit."
    )
    ema_decay: Annotated[Real, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay of the exponential moving average of the weights, which is then validated and saved, or "
        "null for none.",
    )
    freeze: FreezeConfig | None = Field(default=None, description="Parameters that are not trained, or null for none.")
    selection: Selection = Field(
        default={"dice": 0.7, "accuracy": 0.3},
        description="Weight of each validation metric in the score that selects the best epoch; {epoch: 1} selects the "
        "last one.",
    )
    patience: PositiveInt | None = Field(
        default=None, description="Epochs without a better score that end the training, or null to train all epochs."
    )
    panel_every: PositiveInt = Field(
        default=5, description="Epochs between two panels of validation images in TensorBoard and Weights & Biases."
    )
    trackers: tuple[PrintableName, ...] = Field(
        default=("tensorboard",),
        description="Where the metrics of each epoch are shown, on this machine unless an account is set: tensorboard, "
        "wandb, mlflow, another tracker of accelerate, or one that a plugin registers.",
    )
    seed: Seed = Field(default=0, description="Seed of weights, order and augmentation.")

    @property
    def selection_formula(self) -> str:
        """The selection score as text, such as ``0.7*dice + 0.3*accuracy``."""
        terms = [f"{_factor(weight)}{name}" for name, weight in self.selection.items()]
        return " + ".join(terms).replace("+ -", "- ")
