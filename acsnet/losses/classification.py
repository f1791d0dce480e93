"""Classification losses on class logits (B, K) and class indices (B,), all computed in float32."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet.errors import InputError
from acsnet.losses._checks import check_class_logits, check_class_weights, check_range, to_class_weights


class CrossEntropyLoss(nn.Module):
    """Cross entropy of the softmax; at least 0.

    Args:
        class_weights: a factor a class (K,). As torch does it, the mean over the batch is then the weighted one: the
            sum over images divided by the sum of their weights.
        label_smoothing: share, 0 to 1, of the target that is spread evenly over all classes.

    Raises:
        InputError: an argument is out of range, and in `forward` where the shapes do not fit.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        # Not persistent: the weights belong to the configuration and the data, not to what was learned.
        self.register_buffer("class_weights", to_class_weights("class_weights", class_weights), persistent=False)
        self.label_smoothing = check_range("label_smoothing", label_smoothing, 0, 1)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare logits (B, K) with labels int64 (B,); gives a scalar."""
        check_class_logits(logits, label)
        check_class_weights("class_weights", self.class_weights, logits)
        return functional.cross_entropy(
            logits.float(), label, weight=self.class_weights, label_smoothing=self.label_smoothing
        )


class ClassFocalLoss(nn.Module):
    """Focal loss of the softmax, -alpha_class (1 - p_true)^gamma log(p_true), averaged over the images; at least 0.

    Lin et al. 2017, by MONAI; with a balance factor a class as in Chung et al. 2024 (arXiv 2401.07326). The mean over
    the batch is the plain one.

    Args:
        gamma: how far easy images are turned down: 0 (cross entropy) or at least 1. Between them the gradient at a
            probability of exactly 1 is infinite.
        alpha: a factor a class (K,), as :func:`focal_alpha_from_counts` gives it; None leaves all at 1.

    Raises:
        InputError: an argument is out of range, and in `forward` where the shapes do not fit.
    """

    alpha: Tensor | None

    def __init__(self, gamma: float = 2.0, alpha: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        from monai.losses import FocalLoss as MonaiFocalLoss

        if 0 < check_range("gamma", gamma, 0) < 1:
            raise InputError(f"gamma is {gamma}: expected 0 or at least 1, between them the gradient can be infinite")
        self.register_buffer("alpha", to_class_weights("alpha", alpha), persistent=False)
        self.focal = MonaiFocalLoss(gamma=gamma, use_softmax=True, reduction="none")

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compare logits (B, K) with labels int64 (B,); gives a scalar."""
        check_class_logits(logits, label)
        check_class_weights("alpha", self.alpha, logits)
        target = functional.one_hot(label, logits.shape[1]).float()
        # MONAI's own mean would divide by the number of classes too, and the other classes' terms are zero.
        per_image: Tensor = self.focal(logits.float(), target).sum(dim=1)
        return (per_image if self.alpha is None else per_image * self.alpha[label]).mean()


def class_weights_from_counts(counts: Sequence[int]) -> Tensor:
    """Give weights (K,), float32, inverse to the number of images of each class, with mean 1.

    Raises:
        InputError: there is no class or one has no image.
    """
    return _inverse_shares(counts) * len(counts)


def focal_alpha_from_counts(counts: Sequence[int]) -> Tensor:
    """Give balance factors (K,), float32, inverse to the number of images of each class, with sum 1.

    For two classes each factor is the other class's share of the images, the usual choice for a focal loss.

    Raises:
        InputError: there is no class or one has no image.
    """
    return _inverse_shares(counts)


def _inverse_shares(counts: Sequence[int]) -> Tensor:
    if not len(counts):
        raise InputError("received no class counts: expected the number of training images of each class")
    for index, count in enumerate(counts):
        if count <= 0:
            raise InputError(
                f"class {index} has {count} images: expected at least 1 in the training subset, "
                "or leave the class out of the task"
            )
    inverse = 1 / torch.tensor(counts, dtype=torch.float64)
    return (inverse / inverse.sum()).float()
