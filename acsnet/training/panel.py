"""The panel of TensorBoard: a few validation cases with their predictions."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from acsnet.data import CachedDataset, Sample
from acsnet.models import MultiTaskOutput
from acsnet.training.progress import case_picture

_CASES = 6


@torch.no_grad()
def draw_cases(
    dataset: CachedDataset,
    predict: Callable[[Sample], MultiTaskOutput],
    class_names: Sequence[str],
    device: torch.device,
) -> list[npt.NDArray[np.uint8]]:
    """Draw up to six cases, evenly spread over a dataset.

    Args:
        dataset: the validation subset.
        predict: computes the outputs of the network for a batch.
        class_names: the classes in the order of the network's outputs.
        device: device of the batch.

    Returns:
        One picture per case, see :func:`~acsnet.training.progress.case_picture`.
    """
    chosen = np.linspace(0, len(dataset) - 1, min(_CASES, len(dataset))).astype(int)
    samples = [dataset[(int(index), 0)] for index in chosen]
    stacked = {key: torch.stack([sample[key] for sample in samples]).to(device) for key in Sample.__annotations__}  # type: ignore[literal-required]
    output = predict(Sample(**stacked))  # type: ignore[typeddict-item]
    return [_draw(sample, output, index, class_names) for index, sample in enumerate(samples)]


def _draw(sample: Sample, output: MultiTaskOutput, index: int, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
    caption = class_names[int(sample["label"])]
    if output.label is not None:
        caption += f" -> {class_names[int(output.label[index].argmax())]}"
    mask = None if output.mask is None else (output.mask[index, 0] > 0).cpu().numpy()
    return case_picture(sample["image"].numpy(), sample["mask"][0].numpy(), mask, caption)
