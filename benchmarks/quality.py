"""Time to quality: a released recipe against a plain loop around segmentation_models_pytorch, from the same weights.

Both train on the same images at the same size for the same number of epochs, and both are tested after each epoch on
the test subset, without test-time augmentation. The clock runs from the start of preparing the images, and stands
still during the tests. No epoch is chosen by its test: the table has the first epoch that reaches the goals, and the
last one.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import albumentations
import numpy as np
import numpy.typing as npt
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from acsnet._utils.csv_io import read_csv
from acsnet._utils.files import replace_section, write_csv
from acsnet._utils.tables import Table
from acsnet.checkpoints import CheckpointMetadata
from acsnet.config import Config, EvaluationConfig
from acsnet.data import Record, Split, load_records, split_data
from acsnet.data.images import read_image, read_merged_mask, resize_image, resize_mask
from acsnet.errors import InputError
from acsnet.evaluation import evaluate
from acsnet.inference import Predictor
from acsnet.layers.encoder_weights import load_encoder_weights, trained_normalization
from acsnet.models import MultiTaskOutput
from acsnet.training import Trainer

SECTION = "quality"
LESION_DICE, ACCURACY = 0.78, 0.88
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class EpochTest:
    """The test after one epoch of a training.

    Attributes:
        contender: the training.
        epoch: the epoch, counted from 1.
        minutes: the minutes from the start of the training to the end of the epoch, without the tests.
        lesion_dice: mean Dice of the tested images with a lesion.
        accuracy: accuracy on the tested images.
    """

    contender: str
    epoch: int
    minutes: float
    lesion_dice: float
    accuracy: float

    @property
    def is_good(self) -> bool:
        """Whether both goals are reached."""
        return self.lesion_dice >= LESION_DICE and self.accuracy >= ACCURACY


@dataclass
class _Clock:
    """Seconds since its start, without those in :meth:`paused`."""

    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def paused(self) -> Iterator[float]:
        """Stop the clock; the value is the minutes until now."""
        now = time.monotonic()
        yield (now - self.started) / 60
        self.started += time.monotonic() - now


def benchmark_quality(config: Config, show: Callable[[EpochTest], None]) -> None:
    """Train a recipe and the plain loop one after the other, and test both after each epoch.

    Args:
        config: the recipe: a network with an encoder, from a file of ImageNet weights.
        show: called with each tested epoch.

    Raises:
        InputError: if the recipe has no file of weights.
        AcsnetError: if the images or the weights cannot be used.
    """
    encoder = config.model.arguments.get("encoder")
    if encoder is None or config.model.encoder_weights in (None, "imagenet"):
        raise InputError(
            "quality compares trainings from the same file of ImageNet weights: set model.encoder_weights to a file "
            "(make weights) and model.arguments.encoder to its encoder"
        )
    split = split_data(load_records(config.data, progress=False), config.data)
    _train_recipe(config, split, show)
    _train_plainly(config, str(encoder), split, show)


def _train_recipe(config: Config, split: Split, show: Callable[[EpochTest], None]) -> None:
    clock = _Clock()
    with TemporaryDirectory() as folder:
        trainer = Trainer.from_config(config, Path(folder) / "run", progress=False)
        metadata = _metadata(config, trainer.mean, trainer.std)

        def test_epoch(row: Mapping[str, Any]) -> None:
            with clock.paused() as minutes:
                # Predicting changes the network: it is fused, and set to evaluation.
                show(
                    _test(
                        "acsnet, released recipe",
                        row["epoch"],
                        minutes,
                        copy.deepcopy(trainer.judged_network),
                        metadata,
                        split.test,
                    )
                )

        trainer.fit(test_epoch)


def _train_plainly(config: Config, encoder: str, split: Split, show: Callable[[EpochTest], None]) -> None:
    """Train smp's U-Net as its documentation does: float32, AdamW, one-cycle schedule, common augmentation."""
    clock = _Clock()
    torch.manual_seed(config.training.seed)
    network = SmpUnet(encoder, len(config.data.classes))
    path = Path(str(config.model.encoder_weights))
    load_encoder_weights(network.unet.encoder.model, encoder, 3, path)
    mean, std = trained_normalization(network.unet.encoder.model)
    metadata = _metadata(config, mean, std)
    images = _PlainImages(split.train, config.data.classes, config.data.image_size, mean[0], std[0])
    loader = DataLoader(images, config.training.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=1e-2)
    steps = config.training.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    for epoch in range(1, config.training.epochs + 1):
        network.train()
        for batch in loader:
            loss = _loss(network(batch[0]), batch[1], batch[2])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with clock.paused() as minutes:
            show(_test("smp U-Net, plain loop", epoch, minutes, copy.deepcopy(network), metadata, split.test))


def _loss(output: MultiTaskOutput, masks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    assert output.mask is not None  # the network has both tasks
    assert output.label is not None
    dice = smp.losses.DiceLoss("binary")(output.mask, masks)
    overlap = dice + functional.binary_cross_entropy_with_logits(output.mask, masks)
    return overlap + functional.cross_entropy(output.label, labels)


class SmpUnet(nn.Module):
    """smp's U-Net with its own classification head, with the output of this project's networks."""

    divisor = 32

    def __init__(self, encoder: str, classes: int) -> None:
        super().__init__()
        head = {"classes": classes, "dropout": 0.2}
        self.unet = smp.Unet(f"tu-{encoder}", encoder_weights=None, classes=1, aux_params=head)

    def forward(self, images: torch.Tensor) -> MultiTaskOutput:
        """Map images (B, 3, H, W) to mask logits (B, 1, H, W) and class logits (B, K)."""
        mask, label = self.unet(images)
        return MultiTaskOutput(mask, label)


class _PlainImages(Dataset[tuple[torch.Tensor, torch.Tensor, int]]):
    """Images in memory, resized once; flips, affine transforms, brightness, contrast, gamma and noise."""

    def __init__(
        self, records: Sequence[Record], classes: Sequence[str], size: tuple[int, int], mean: float, std: float
    ) -> None:
        self._items = [_read(record, size) for record in records]
        self._labels = [classes.index(record.label) for record in records]
        self._transform = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=0.5),
                albumentations.Affine(
                    scale=(0.8, 1.25), translate_percent=(-0.1, 0.1), rotate=(-15, 15), shear=(-8, 8), p=0.8
                ),
                albumentations.RandomBrightnessContrast(p=0.5),
                albumentations.RandomGamma(p=0.4),
                albumentations.GaussNoise(p=0.2),
            ]
        )
        self._mean, self._std = mean, std

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        image, mask = self._items[index]
        drawn = self._transform(image=image, mask=mask)
        pixels = torch.from_numpy(np.ascontiguousarray(drawn["image"])).permute(2, 0, 1).float() / 255
        return (pixels - self._mean) / self._std, torch.from_numpy(drawn["mask"])[None].float(), self._labels[index]


def _read(record: Record, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    image = read_image(record.image)
    mask = read_merged_mask(record.masks, image.shape[:2])
    return resize_image(image, size), resize_mask(mask, size).astype(np.uint8)


def _metadata(config: Config, mean: Sequence[float], std: Sequence[float]) -> CheckpointMetadata:
    return CheckpointMetadata(
        model=config.model.name,
        arguments={},
        class_names=config.data.classes,
        input_size=config.data.image_size,
        mean=tuple(mean),
        std=tuple(std),
    )


def _test(
    contender: str,
    epoch: int,
    minutes: float,
    network: nn.Module,
    metadata: CheckpointMetadata,
    records: Sequence[Record],
) -> EpochTest:
    predictor = Predictor(network, metadata, evaluation=EvaluationConfig())
    metrics = evaluate(predictor, records, progress=False).metrics
    return EpochTest(
        contender,
        epoch,
        minutes,
        metrics["segmentation"]["lesion"]["dice"],
        metrics["classification"]["accuracy"],
    )


def write_epochs(path: Path, rows: Sequence[EpochTest]) -> None:
    """Write tested epochs as a CSV file."""
    write_csv(path, [vars(row) for row in rows])


def read_epochs(path: Path) -> list[EpochTest]:
    """Read a file written by :func:`write_epochs`.

    Raises:
        DataError: if the file is missing or is not a CSV table.
        InputError: if the file has other columns.
    """
    _, rows = read_csv(path, f"there is no file {path}: create it by python -m benchmarks quality --csv {path}")
    try:
        return [
            EpochTest(
                row["contender"],
                int(row["epoch"]),
                float(row["minutes"]),
                float(row["lesion_dice"]),
                float(row["accuracy"]),
            )
            for _, row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has no tested epochs of python -m benchmarks quality ({error})") from error


def quality_table(rows: Sequence[EpochTest]) -> Table:
    """Return one row per training: when it reaches the goals for the first time, and its last epoch."""
    header = (
        "training",
        f"minutes to lesion Dice {LESION_DICE}",
        f"to accuracy {ACCURACY}",
        "to both",
        "in all",
        "lesion Dice at the end",
        "accuracy at the end",
    )
    lines = []
    for contender in dict.fromkeys(row.contender for row in rows):
        own = [row for row in rows if row.contender == contender]
        first = [
            _first_minutes(own, lambda row: row.lesion_dice >= LESION_DICE),
            _first_minutes(own, lambda row: row.accuracy >= ACCURACY),
            _first_minutes(own, lambda row: row.is_good),
        ]
        last = own[-1]
        lines.append((contender, *first, f"{last.minutes:.1f}", f"{last.lesion_dice:.3f}", f"{last.accuracy:.3f}"))
    return Table.from_rows([header, *lines])


def _first_minutes(rows: Sequence[EpochTest], is_reached: Callable[[EpochTest], bool]) -> str:
    return next((f"{row.minutes:.1f} (epoch {row.epoch})" for row in rows if is_reached(row)), "not reached")


def quality_pages(rows: Sequence[EpochTest], pages: Sequence[Path]) -> dict[Path, str]:
    """Return pages with the table in their section ``quality``.

    Raises:
        InputError: if a page is missing or has no such section.
    """
    return {page: replace_section(page, SECTION, lambda: quality_table(rows).to_markdown()) for page in pages}
