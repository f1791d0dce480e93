"""DICOM Segmentation objects, written by highdicom (extra ``data``)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acsnet._utils.extras import explain_missing
from acsnet._utils.files import whole_file
from acsnet.data.dicom import is_dicom, read_dicom_header
from acsnet.data.frame_paths import split_frame
from acsnet.data.image_files import problem_list
from acsnet.data.spacing import Spacing
from acsnet.errors import DataError
from acsnet.inference.formats.base import RESEARCH_ONLY, Format, Result
from acsnet.version import __version__

# Without them, nothing can refer to an image.
_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# Of study and patient; empty where a file leaves them out, as files without names often do.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "Modality",
)  # fmt: skip
# A code of PS3.4: highdicom takes one image per object, and reads the class of cine loops as that of volumes.
_SINGLE_FRAME = "1.2.840.10008.5.1.4.1.1.6.1"
_LONGEST = 64


class DicomSegmentation(Format):
    """``dicom_seg/``: a binary Segmentation object per image or frame, with the geometry and the patient of its source.

    It has one segment, "lesion", and refers to the instance and, in a file of several frames, to the frame. The objects
    of one series of the source are a series of their own. The input has to be DICOM.
    """

    place = "dicom_seg"

    def __init__(self, folder: Path, images: Sequence[tuple[Path, Path]], network: str) -> None:
        super().__init__(folder, images, network)
        with explain_missing("writing DICOM Segmentation objects"):
            import highdicom  # noqa: F401
        self._series: dict[str, tuple[str, int]] = {}
        files = dict.fromkeys(split_frame(image)[0] for image, _ in images)
        problems = [fault for file in files if (fault := self._fault(file)) is not None]
        if problems:
            raise DataError(problem_list("no DICOM Segmentation can be written", problems))
        # The check has counted objects, too.
        self._series.clear()

    def add(self, result: Result) -> None:
        """Write the object of an image or frame."""
        file, frame = split_frame(result.file)
        segmentation = self._build(read_dicom_header(file), result.mask, result.prediction.spacing, frame or 0)
        with whole_file(self.path(result.name, ".dcm")) as temporary:
            segmentation.save_as(temporary)

    def _fault(self, file: Path) -> str | None:
        """Return why an image cannot be the source of an object."""
        if not is_dicom(file):
            return f"{file} is not a DICOM file: predict it without --save dicom-seg"
        header = read_dicom_header(file)
        missing = [name for name in _REQUIRED if not header.get(name)]
        if missing:
            return f"{file} has no {', '.join(missing)}: take the file from its source"
        try:
            self._build(header, np.zeros((header.Rows, header.Columns), np.bool_), None, 0)
        # highdicom raises several types of errors for values that the standard does not allow.
        except Exception as error:
            return (
                f"{file} has a value that objects cannot have ({error}): correct it, or take the file from its source"
            )
        return None

    def _build(self, header: Any, mask: npt.NDArray[np.bool_], spacing: Spacing | None, frame: int) -> Any:
        """Return the object for a mask of an image, whose header is changed."""
        with explain_missing("writing DICOM Segmentation objects"):
            import highdicom

        source_class, is_multiframe = str(header.SOPClassUID), "NumberOfFrames" in header
        for name in _MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, "")
        if is_multiframe:
            del header.NumberOfFrames
            header.SOPClassUID = _SINGLE_FRAME
        series, number = self._series.get(str(header.SeriesInstanceUID), (str(highdicom.UID()), 0))
        self._series[str(header.SeriesInstanceUID)] = series, number + 1
        segmentation = highdicom.seg.Segmentation(
            source_images=[header],
            pixel_array=mask.astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[_describe_segment(self.network)],
            series_instance_uid=series,
            series_number=1,
            sop_instance_uid=highdicom.UID(),
            instance_number=number + 1,
            manufacturer="acsnet",
            manufacturer_model_name=self.network[:_LONGEST],
            software_versions=__version__,
            device_serial_number="none",
            content_label="LESIONS",
            content_description=f"lesions, predicted {RESEARCH_ONLY}",
            series_description=f"predicted lesions, {RESEARCH_ONLY}",
            pixel_measures=None if spacing is None else _pixel_measures(spacing),
            # An image without a lesion has an object, too.
            omit_empty_frames=False,
        )
        if is_multiframe:
            _refer_to_frame(segmentation, source_class, frame)
        return segmentation


def _describe_segment(network: str) -> Any:
    with explain_missing("writing DICOM Segmentation objects"):
        import highdicom
        from pydicom.sr.codedict import codes

    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=network[:_LONGEST], version=f"acsnet {__version__}", family=codes.DCM.ArtificialIntelligence
        ),
        anatomic_regions=[codes.SCT.Breast],
    )


def _pixel_measures(spacing: Spacing) -> Any:
    with explain_missing("writing DICOM Segmentation objects"):
        import highdicom

    return highdicom.PixelMeasuresSequence(pixel_spacing=spacing, slice_thickness=None)


def _refer_to_frame(segmentation: Any, source_class: str, frame: int) -> None:
    for element in segmentation.iterall():
        if element.keyword == "ReferencedSOPClassUID" and element.value == _SINGLE_FRAME:
            element.value = source_class
    (group,) = segmentation.PerFrameFunctionalGroupsSequence
    group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = frame + 1
