"""The tables of the page and of its exports: rows per image, sizes of lesions, class probabilities."""

from collections.abc import Sequence
from typing import Any

from acsnet._utils.html import NO_VALUE, decimal, percent, render
from acsnet.app.analysis import Finding
from acsnet.app.networks import MOST_PROBABLE
from acsnet.app.texts import NOTICE
from acsnet.inference.lesion_shape import find_lesions
from acsnet.inference.measurements import largest_lesion, lesion_rows
from acsnet.inference.uncertainty import mean_mask_uncertainty
from acsnet.labels import MALIGNANT

# Small islands of a mask are many; the largest lesions are shown.
_SHOWN_LESIONS = 5


def results_row(finding: Finding) -> dict[str, Any]:
    """Return one image as a row of the table to download; its lesions are as in ``predictions.csv``."""
    analysis, prediction = finding.analysis, finding.prediction
    row: dict[str, Any] = {
        "image": analysis.name,
        "frame": analysis.frame if analysis.frames > 1 else None,
        "network": analysis.network.name,
        "mask_threshold": finding.threshold,
        "operating_point": None if finding.choice == MOST_PROBABLE else finding.choice,
        "malignant_threshold": finding.malignant_threshold,
        "predicted": prediction.label,
    }
    row |= {f"probability_{name}": value for name, value in (prediction.probabilities or {}).items()}
    row |= {"mask_uncertainty": mask_uncertainty(finding), "label_uncertainty": prediction.label_uncertainty}
    if prediction.mask is not None:
        row |= largest_lesion(prediction, lesion_rows(prediction, find_lesions(prediction.mask)))
    row["note"] = NOTICE
    return row


def mask_uncertainty(finding: Finding) -> float | None:
    """Return the mean uncertainty of the mask over its foreground, 0 to 1, or None for a network without masks."""
    prediction = finding.prediction
    if prediction.mask is None or prediction.mask_uncertainty is None:
        return None
    return mean_mask_uncertainty(prediction.mask_uncertainty, prediction.mask)


def results_table(findings: Sequence[Finding], shown: int = 0) -> str:
    """Return the table of all images as HTML.

    Args:
        findings: one per image.
        shown: the index of the image that the page shows.
    """
    return render("app_results.html", rows=[_cells(finding) for finding in findings], shown=shown)


def _cells(finding: Finding) -> dict[str, Any]:
    prediction = finding.prediction
    largest = finding.lesions[0] if finding.lesions else None
    return {
        "image": finding.analysis.title,
        "predicted": prediction.label or NO_VALUE,
        "malignant": percent((prediction.probabilities or {}).get(MALIGNANT)),
        "lesions": len(finding.lesions),
        "long_axis": NO_VALUE if largest is None else f"{decimal(largest.long_axis, 1)} {finding.unit}",
        "uncertainty": percent(mask_uncertainty(finding), 0),
    }


def summary(finding: Finding) -> str:
    """Return class probabilities, uncertainties and sizes of lesions of one image as HTML."""
    return render("app_summary.html", **summary_values(finding))


def summary_values(finding: Finding) -> dict[str, Any]:
    """Return the values of the template of :func:`summary`."""
    prediction = finding.prediction
    return {
        "label": prediction.label,
        "probabilities": [(name, value, percent(value)) for name, value in (prediction.probabilities or {}).items()],
        "malignant_threshold": finding.malignant_threshold,
        "choice": finding.choice,
        "label_uncertainty": percent(prediction.label_uncertainty, 0),
        "mask_uncertainty": percent(mask_uncertainty(finding), 0),
        "has_mask": prediction.mask is not None,
        "threshold": finding.threshold,
        "unit": finding.unit,
        "lesion_columns": ("lesion", *map(str, range(1, min(len(finding.lesions), _SHOWN_LESIONS) + 1)))
        if finding.lesions
        else (),
        "lesion_rows": _lesion_rows(finding),
        "left_out": max(0, len(finding.lesions) - _SHOWN_LESIONS),
    }


def _lesion_rows(finding: Finding) -> list[tuple[str, ...]]:
    """Return one row per property, with its name and its value for each of the largest lesions."""
    unit, lesions = finding.unit, finding.lesions[:_SHOWN_LESIONS]
    lengths = {
        f"width ({unit})": "width",
        f"height ({unit})": "height",
        f"long axis ({unit})": "long_axis",
        f"short axis ({unit})": "short_axis",
        f"perimeter ({unit})": "perimeter",
        f"area ({unit}²)": "area",
    }
    rows = [(title, *(decimal(getattr(lesion, name), 1) for lesion in lesions)) for title, name in lengths.items()]
    return [
        *rows,
        ("taller than wide", *("yes" if lesion.taller_than_wide else "no" for lesion in lesions)),
        ("circularity (disk: 1)", *(decimal(lesion.circularity, 2) for lesion in lesions)),
        ("center from the top", *(percent(lesion.center[0], 0) for lesion in lesions)),
        ("center from the left", *(percent(lesion.center[1], 0) for lesion in lesions)),
    ]
