"""Further formats of results, for archives of images, annotation tools and other programs."""

from collections.abc import Iterable, Mapping

from acsnet._utils.naming import look_up
from acsnet.inference.formats.base import Format, Result
from acsnet.inference.formats.coco import Coco
from acsnet.inference.formats.contours import ContourTables, GeoJson
from acsnet.inference.formats.dicom_seg import DicomSegmentation
from acsnet.inference.formats.labels import LabelImages

__all__ = ["FORMATS", "Format", "Result", "find_formats"]

#: The formats by the names of ``acsnet predict --save``.
FORMATS: Mapping[str, type[Format]] = {
    "coco": Coco,
    "contours": ContourTables,
    "dicom-seg": DicomSegmentation,
    "geojson": GeoJson,
    "labels": LabelImages,
}


def find_formats(names: Iterable[str]) -> list[type[Format]]:
    """Return formats by their names, each once.

    Raises:
        UnknownNameError: if one is unknown, with near matches.
    """
    return [look_up("format", name, FORMATS, "") for name in dict.fromkeys(names)]
