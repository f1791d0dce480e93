"""A network and a loss of your own in one file, which every command uses by ``--import my_network``.

Copy it next to your configuration, change it, and train it from that folder with ``model.name: small_unet`` and the
segmentation loss ``tversky``.
"""

import torch
from torch import nn

import acsnet


@acsnet.register_model(
    "small_unet",
    publication="an example",
    adds="two levels, one decoder for the mask and one linear layer for the class",
    input_size=(64, 64),
    # Types of the own arguments: a checkpoint stores them, and only these are taken from a file.
    arguments={"width": int},
)
class SmallUNet(acsnet.MultiTaskModel):
    """A U-Net of two levels whose deepest features are also classified.

    Args:
        width: channels of the first level; the second one has twice as many.
        contract: ``num_classes``, ``in_channels`` and ``tasks``.
    """

    divisor = 2  # height and width of the images have to be multiples of it

    def __init__(self, width: int = 8, **contract: object) -> None:
        super().__init__(**contract)
        self.shallow = _block(self.in_channels, width)
        self.deep = nn.Sequential(nn.MaxPool2d(2), _block(width, 2 * width))
        if self.has_mask:
            self.decoder = nn.Sequential(_block(3 * width, width), nn.Conv2d(width, 1, 1))
        if self.has_label:
            # This pooling is where Grad-CAM looks.
            self.pool = acsnet.layers.GlobalAverage()
            self.classifier = nn.Linear(2 * width, self.num_classes)

    def forward_tasks(self, images: torch.Tensor) -> acsnet.MultiTaskOutput:
        """Compute mask logits (B, 1, H, W) and class logits (B, K)."""
        shallow = self.shallow(images)  # (B, width, H, W)
        deep = self.deep(shallow)  # (B, 2 * width, H / 2, W / 2)
        mask = label = None
        if self.has_mask:
            enlarged = nn.functional.interpolate(deep, scale_factor=2.0, mode="bilinear")
            mask = self.decoder(torch.cat([shallow, enlarged], dim=1))
        if self.has_label:
            label = self.classifier(self.pool(deep))
        return acsnet.MultiTaskOutput(mask, label)


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


@acsnet.register_loss("tversky", task="segmentation")
class TverskyLoss(nn.Module):
    """1 - Tversky index, which weighs false positives and false negatives (Salehi et al. 2017).

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives.
    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.7) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Compute the mean over the images of a batch: logits and mask (B, 1, H, W), a scalar."""
        probability = logits.sigmoid()
        common = (probability * mask).sum(dim=(1, 2, 3))
        false_positives = (probability * (1 - mask)).sum(dim=(1, 2, 3))
        false_negatives = ((1 - probability) * mask).sum(dim=(1, 2, 3))
        index = (common + 1) / (common + self.alpha * false_positives + self.beta * false_negatives + 1)
        return (1 - index).mean()
