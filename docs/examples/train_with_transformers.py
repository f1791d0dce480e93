"""Train a network of acsnet with the Trainer of Hugging Face: ``python docs/examples/train_with_transformers.py``."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from lesions import make_lesions
from torch import nn
from transformers import EvalPrediction, Trainer, TrainingArguments

import acsnet
from acsnet.labels import CLASS_NAMES
from acsnet.losses import CrossEntropyLoss, DiceLoss, MultiTaskLoss, UncertaintyWeighting
from acsnet.metrics import classification_metrics, dice_score


class WithLoss(nn.Module):
    """A network that returns its loss with its logits, as the Trainer expects.

    Args:
        network: a network of the zoo with both tasks.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.loss = MultiTaskLoss(DiceLoss(), CrossEntropyLoss(), UncertaintyWeighting())

    def forward(self, images: torch.Tensor, masks: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss, the mask logits and the class logits of a batch."""
        output = self.network(images)
        return {"loss": self.loss(output, masks, labels).total, "mask": output.mask, "label": output.label}


def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Return Dice and accuracy of all validation images."""
    (mask_logits, class_logits), (masks, labels) = prediction.predictions, prediction.label_ids
    dice = [dice_score(logits[0] > 0, mask[0]) for logits, mask in zip(mask_logits, masks, strict=True)]
    probabilities = torch.from_numpy(class_logits).softmax(dim=1)
    metrics: dict[str, Any] = classification_metrics(labels, probabilities, CLASS_NAMES)
    return {"dice": sum(dice) / len(dice), "accuracy": metrics["accuracy"]}


def main(folder: Path, epochs: int = 5, images_per_class: int = 20) -> dict[str, float]:
    """Train on phantoms, and return the validation metrics."""
    training, validation = make_lesions(folder / "phantoms", images_per_class)
    model = WithLoss(acsnet.create_model("unet", num_classes=len(CLASS_NAMES), width=8, depth=3))
    arguments = TrainingArguments(
        output_dir=str(folder / "run"),
        num_train_epochs=epochs,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=1e-3,
        label_names=["masks", "labels"],
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        model, arguments, train_dataset=training, eval_dataset=validation, compute_metrics=compute_metrics
    )
    trainer.train()
    metrics = trainer.evaluate()
    return {name: metrics[f"eval_{name}"] for name in ("dice", "accuracy")}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(main(Path(temporary)))
