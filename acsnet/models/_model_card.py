"""The model card of a network in the format of the Hugging Face Hub, written from its metadata."""

import json
import re
from collections.abc import Mapping
from typing import Any

from acsnet.checkpoints import CheckpointMetadata, OperatingPoints
from acsnet.errors import InputError

# The Hub's name of a license that is not stated.
UNKNOWN_LICENSE = "unknown"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.IGNORECASE)
_MODEL_CARD = """---
license: {license}
library_name: acsnet
tags:
- acsnet
- breast-ultrasound
- image-segmentation
- image-classification
---

# {title} for breast-ultrasound images

```python
import acsnet

predictor = acsnet.Predictor(acsnet.load_model({location}))
prediction = predictor("image.png")
print(prediction.label, prediction.probabilities)
```

`prediction.mask` is the lesion at the size of the image. The example needs the Python package acsnet.

| | |
| --- | --- |
| network | {title} |
| classes | {classes} |
| input | {height} x {width} (height x width), (pixel / 255 - {mean}) / {std}{framing} |
| trained on | {data} |
| epoch selected on | {selection} |
| operating points | {operating_points} |
| license | {license_note} |
| written by | acsnet {version} |

## Intended use

Research on segmentation and classification of breast-ultrasound images, as a baseline or a starting point. Not for
diagnosis: it is not a medical device. Expect lower metrics on images of other hospitals and scanners than those of the
training.

## Metrics

{metrics}
"""


def write_model_card(metadata: CheckpointMetadata, location: str, license: str) -> str:
    """Return the model card of a network.

    Args:
        metadata: metadata of the network.
        location: folder or id of the repository from which the example of the model card loads the network.
        license: identifier of the license of the weights on the Hub, such as ``cc-by-4.0``, or ``unknown``.

    Raises:
        InputError: if the license is not an identifier.
    """
    dataset = metadata.dataset
    return _MODEL_CARD.format(
        license=check_license(license),
        title=metadata.title,
        location=json.dumps(location, ensure_ascii=False),
        classes=", ".join(metadata.class_names),
        height=metadata.input_size[0],
        width=metadata.input_size[1],
        mean=", ".join(map(str, metadata.mean)),
        std=", ".join(map(str, metadata.std)),
        framing=(", cropped to the scanned region" if metadata.crop_margins else "")
        + (", padded instead of stretched" if metadata.keep_aspect else ""),
        data=f"{', '.join(dataset['names'])} ({dataset.get('n', '?')} images)" if "names" in dataset else "-",
        selection="the test images, so that test metrics are too good"
        if metadata.selected_on == "test"
        else "validation images",
        operating_points=_describe_operating_points(metadata.operating_points),
        license_note="not stated: ask the authors before you use the weights"
        if license == UNKNOWN_LICENSE
        else license,
        version=metadata.code_version,
        metrics=_describe_metrics(metadata.metrics),
    )


def check_license(license: str) -> str:
    """Return the identifier of a license in lower case, as the Hub writes it.

    Raises:
        InputError: if it is not an identifier.
    """
    if not isinstance(license, str) or _LICENSE.fullmatch(license) is None:
        raise InputError(f"license is {license!r}: expected an identifier of the Hub, such as cc-by-4.0 or apache-2.0")
    return license.lower()


def _describe_metrics(metrics: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {value:.3f} |" for name, value in metrics.items() if isinstance(value, int | float)]
    if not rows:
        return "The checkpoint has no metrics."
    protocol = metrics.get("protocol", "not stated")
    return "\n".join(
        [f"Protocol: {protocol}. Not a test on other images.", "", "| metric | value |", "| --- | --- |", *rows]
    )


def _describe_operating_points(points: OperatingPoints | None) -> str:
    if points is None:
        return "-"
    rates = [
        f"`{name}` (sensitivity {point.sensitivity.value:.3f}, specificity {point.specificity.value:.3f})"
        for name, point in points.points.items()
    ]
    return f"{', '.join(rates)}, chosen on {points.images} images ({points.source})"
