"""Train a network of acsnet with Lightning: ``python docs/examples/train_with_lightning.py`` (phantoms, a minute)."""

import tempfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lesions import MEAN, SIZE, STD, make_lesions
from torch.utils.data import DataLoader

import acsnet
from acsnet.checkpoints import CheckpointMetadata
from acsnet.labels import CLASS_NAMES
from acsnet.losses import CrossEntropyLoss, DiceLoss, MultiTaskLoss, UncertaintyWeighting
from acsnet.metrics.for_torchmetrics import ClassificationMetrics, SegmentationMetrics

Batch = dict[str, torch.Tensor]


class MultiTaskModule(lightning.LightningModule):
    """A network of the zoo, its loss and its metrics.

    Args:
        name: name of the network.
        arguments: arguments of the network.
    """

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.network = acsnet.create_model(name, num_classes=len(CLASS_NAMES), **arguments)
        # The scales of the weighting are parameters, and are trained with those of the network.
        self.loss = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), UncertaintyWeighting())
        self.segmentation = SegmentationMetrics()
        self.classification = ClassificationMetrics(CLASS_NAMES)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of a batch."""
        loss = self.loss(self.network(batch["images"]), batch["masks"], batch["labels"]).total
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Add a batch to the metrics."""
        output = self.network(batch["images"])
        self.segmentation.update(output.mask > 0, batch["masks"])
        self.classification.update(output.label.softmax(dim=1), batch["labels"])

    def on_validation_epoch_end(self) -> None:
        """Log Dice and accuracy of all validation images."""
        self.log("dice", self.segmentation.compute()["dice"].float())
        self.log("accuracy", self.classification.compute()["accuracy"].float())
        self.segmentation.reset()
        self.classification.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(folder: Path, epochs: int = 5, images_per_class: int = 20) -> dict[str, float]:
    """Train on phantoms, save the network to ``folder / "network"``, and return the validation metrics."""
    training, validation = make_lesions(folder / "phantoms", images_per_class)
    arguments = {"width": 8, "depth": 3}
    module = MultiTaskModule("unet", arguments)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(training, batch_size=4, shuffle=True), DataLoader(validation, batch_size=4))
    metrics = {name: float(trainer.callback_metrics[name]) for name in ("dice", "accuracy")}

    # With its metadata, the network can be saved, shared and given to a Predictor.
    network = module.network.eval()
    network.metadata = CheckpointMetadata(
        model="unet",
        arguments=arguments,
        class_names=CLASS_NAMES,
        input_size=SIZE,
        mean=MEAN,
        std=STD,
        metrics={"protocol": f"validation subset at {SIZE[0]}x{SIZE[1]}", **metrics},
    )
    acsnet.save_pretrained(network, folder / "network")
    return metrics


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(main(Path(temporary)))
