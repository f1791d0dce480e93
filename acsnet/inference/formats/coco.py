"""COCO: one JSON file with the lesions of all images, for annotation tools and other libraries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acsnet._utils.files import write_json
from acsnet.inference.formats.base import RESEARCH_ONLY, Format, Result
from acsnet.inference.formats.outlines import trace_outline
from acsnet.inference.lesion_shape import Lesion
from acsnet.version import __version__

_LESION = 1


class Coco(Format):
    """``coco.json``: images, and one annotation of the category "lesion" per lesion.

    The segmentation of an annotation is its polygons, or uncompressed run lengths for a lesion with holes, which
    polygons of COCO cannot have. Both are exactly the pixels of the mask, ``area`` is their number, and ``bbox`` is
    (left, top, width, height). ``file_name`` is the path of the image in the folder that was predicted.
    """

    place = "coco.json"

    def __init__(self, folder: Path, images: Sequence[tuple[Path, Path]], network: str) -> None:
        super().__init__(folder, images, network)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, result: Result) -> None:
        """Add the lesions of an image."""
        height, width = result.mask.shape
        image = {
            "id": len(self._images) + 1,
            "file_name": (result.name.parent / result.file.name).as_posix(),
            "width": width,
            "height": height,
            "predicted": result.prediction.label,
        }
        self._images.append(image)
        for lesion in result.lesions:
            annotation = {
                "id": len(self._annotations) + 1,
                "image_id": image["id"],
                "category_id": _LESION,
                "segmentation": _segmentation(lesion, (height, width)),
                "area": int(lesion.mask.sum()),
                "bbox": [lesion.left, lesion.top, lesion.mask.shape[1], lesion.mask.shape[0]],
                "iscrowd": 0,
            }
            self._annotations.append(annotation)

    def finish(self, folder: Path) -> None:
        """Write the file."""
        content = {
            "info": {
                "description": f"masks predicted by {self.network}: {RESEARCH_ONLY}",
                "version": f"acsnet {__version__}",
            },
            "licenses": [],
            "categories": [{"id": _LESION, "name": "lesion", "supercategory": ""}],
            "images": self._images,
            "annotations": self._annotations,
        }
        write_json(folder / self.place, content, indent=None)


def _segmentation(lesion: Lesion, size: tuple[int, int]) -> Any:
    polygons = trace_outline(lesion)
    if not any(polygon.holes for polygon in polygons):
        return [polygon.exterior.ravel().tolist() for polygon in polygons]
    height, width = lesion.mask.shape
    mask = np.zeros(size, np.bool_)
    mask[lesion.top : lesion.top + height, lesion.left : lesion.left + width] = lesion.mask
    # Column by column, beginning with the number of background pixels.
    values = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff([0, *changes.tolist(), values.size]).tolist()
    return {"size": [*size], "counts": [0, *runs] if values[0] else runs}
