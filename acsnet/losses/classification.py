"""Classification losses of class logits (B, K) and class indices (B,), computed in float32."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from acsnet._utils.extras import explain_missing
from acsnet.errors import InputError
from acsnet.losses._checks import check_class_logits, check_class_weights, check_range, to_class_weights


class CrossEntropyLoss(nn.Module):
    """Cross entropy of the softmax; at least 0.

    Args:
        class_weights: one factor per class (K,). As in torch, the mean over the batch is then weighted: the sum over
            the images divided by the sum of their weights.
        label_smoothing: fraction of the target, 0 to 1, that is distributed evenly over all classes.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import CrossEntropyLoss
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> CrossEntropyLoss()(logits, torch.tensor([0, 1]))
        tensor(0.6691)
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        # Not persistent: the weights come from the configuration and the data, and are not learned.
        self.register_buffer("class_weights", to_class_weights("class_weights", class_weights), persistent=False)
        self.label_smoothing = check_range("label_smoothing", label_smoothing, 0, 1)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, K) and labels, int64 (B,).

        Raises:
            InputError: if shapes or dtype are not valid, or, on the CPU, a label is not in 0 to K-1.
        """
        check_class_logits(logits, label)
        check_class_weights("class_weights", self.class_weights, logits)
        return functional.cross_entropy(
            logits.float(), label, weight=self.class_weights, label_smoothing=self.label_smoothing
        )


class ClassFocalLoss(nn.Module):
    """Focal loss of the softmax, -alpha_class (1 - p_true)^gamma log(p_true), averaged over the images; at least 0.

    Lin et al. 2017, implemented by MONAI. With one factor per class as in the text of Chung et al. 2024 (arXiv
    2401.07326), or with one factor for all classes as in its code. The mean over the batch is not weighted.

    Args:
        gamma: focusing parameter, which reduces the loss of easy images: 0 (cross entropy) or at least 1. Between 0 and
            1 the gradient is infinite at a probability of exactly 1.
        alpha: one factor per class (K,), for example from :func:`focal_alpha_from_counts`; a number above 0, the factor
            of all classes; None for factors of 1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from acsnet.losses import ClassFocalLoss
        >>> logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> ClassFocalLoss(gamma=2.0)(logits, torch.tensor([0, 1]))
        tensor(0.2496)
    """

    alpha: Tensor | None

    def __init__(self, gamma: float = 2.0, alpha: Sequence[float] | Tensor | float | None = None) -> None:
        super().__init__()
        with explain_missing("the focal loss"):
            from monai.losses import FocalLoss as MonaiFocalLoss

        if 0 < check_range("gamma", gamma, 0) < 1:
            raise InputError(f"gamma is {gamma}: expected 0 or at least 1, between them the gradient can be infinite")
        self.factor = 1.0
        if isinstance(alpha, (int, float)):
            self.factor, alpha = check_range("alpha", alpha, 1e-6), None
        self.register_buffer("alpha", to_class_weights("alpha", alpha), persistent=False)
        self.focal = MonaiFocalLoss(gamma=gamma, use_softmax=True, reduction="none")

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the loss, a scalar, of logits (B, K) and labels, int64 (B,).

        Raises:
            InputError: if shapes or dtype are not valid, or, on the CPU, a label is not in 0 to K-1.
        """
        check_class_logits(logits, label)
        check_class_weights("alpha", self.alpha, logits)
        target = functional.one_hot(label, logits.shape[1]).float()
        # MONAI's mean would also divide by the number of classes; the terms of the other classes are zero.
        per_image: Tensor = self.focal(logits.float(), target).sum(dim=1)
        weighted = per_image if self.alpha is None else per_image * self.alpha[label]
        return self.factor * weighted.mean()


def class_weights_from_counts(counts: Sequence[int]) -> Tensor:
    """Return weights (K,), float32, inverse to the number of images per class, with a mean of 1.

    Raises:
        InputError: if there is no class, or if a class has no image.

    Example:
        >>> from acsnet.losses import class_weights_from_counts
        >>> class_weights_from_counts([300, 100])
        tensor([0.5000, 1.5000])
    """
    return _inverse_fractions(counts) * len(counts)


def focal_alpha_from_counts(counts: Sequence[int]) -> Tensor:
    """Return the factors alpha (K,), float32, inverse to the number of images per class, with a sum of 1.

    With two classes, each factor is the other class's fraction of the images, the usual choice for a focal loss.

    Raises:
        InputError: if there is no class, or if a class has no image.

    Example:
        >>> from acsnet.losses import focal_alpha_from_counts
        >>> focal_alpha_from_counts([300, 100])
        tensor([0.2500, 0.7500])
    """
    return _inverse_fractions(counts)


def _inverse_fractions(counts: Sequence[int]) -> Tensor:
    if not len(counts):
        raise InputError("received no class counts: expected the number of training images of each class")
    for index, count in enumerate(counts):
        if count <= 0:
            raise InputError(
                f"class {index} has {count} images: expected at least 1 in the training subset, "
                "or remove the class from the configuration"
            )
    inverse = 1 / torch.tensor(counts, dtype=torch.float64)
    return (inverse / inverse.sum()).float()
