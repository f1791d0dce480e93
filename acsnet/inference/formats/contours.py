"""Outlines of lesions as GeoJSON and as CSV, in pixels of the image."""

import os
from typing import Any

from acsnet._utils.files import write_csv, write_json
from acsnet.inference.formats.base import RESEARCH_ONLY, Format, Result
from acsnet.inference.formats.outlines import Polygon, Ring, trace_outline
from acsnet.inference.lesion_shape import Lesion

#: The convention of all coordinates.
CONVENTION = (
    "pixels: x from the left edge of the image, y from its top edge, downward; the first pixel covers 0 to 1; outlines "
    "run along the edges of pixels"
)


class GeoJson(Format):
    """``geojson/``: a feature collection per image, with one feature per lesion and its sizes as properties."""

    place = "geojson"

    def add(self, result: Result) -> None:
        """Write the features of an image."""
        properties = [{**row, "predicted": result.prediction.label} for row in result.rows]
        features = [
            {"type": "Feature", "id": own["lesion"], "geometry": _geometry(lesion), "properties": own}
            for lesion, own in zip(result.lesions, properties, strict=True)
        ]
        height, width = result.mask.shape
        collection = {
            "type": "FeatureCollection",
            "image": {"name": os.fspath(result.file), "width": width, "height": height},
            "coordinates": CONVENTION,
            "origin": f"masks predicted by {self.network}: {RESEARCH_ONLY}",
            "features": features,
        }
        write_json(self.path(result.name, ".geojson"), collection, indent=None)


class ContourTables(Format):
    """``contours/``: a table per image, with one row per corner of an outline.

    The columns are ``lesion``, as in ``lesions.csv``; ``polygon``, 1 except for lesions whose regions touch at a
    corner; ``ring``, 0 for the outer line and 1 or more for holes; and ``x`` and ``y``.
    """

    place = "contours"

    def add(self, result: Result) -> None:
        """Write the table of an image."""
        rows: list[dict[str, Any]] = []
        for number, lesion in enumerate(result.lesions, 1):
            for polygon_number, polygon in enumerate(trace_outline(lesion), 1):
                for ring_number, ring in enumerate(_rings(polygon)):
                    place = {"lesion": number, "polygon": polygon_number, "ring": ring_number}
                    rows += [{**place, "x": x, "y": y} for x, y in ring.tolist()]
        write_csv(self.path(result.name, ".csv"), rows, ("lesion", "polygon", "ring", "x", "y"))


def _rings(polygon: Polygon) -> list[Ring]:
    return [polygon.exterior, *polygon.holes]


def _geometry(lesion: Lesion) -> dict[str, Any]:
    # A ring of GeoJSON ends where it begins.
    polygons = [[[*ring.tolist(), ring[0].tolist()] for ring in _rings(one)] for one in trace_outline(lesion)]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
