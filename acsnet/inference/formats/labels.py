"""Label images: 0 is background, 1 the largest lesion, 2 the next one, as in ``lesions.csv``."""

import cv2
import numpy as np

from acsnet._utils.files import whole_file
from acsnet.inference.formats.base import Format, Result

_MOST_LESIONS = np.iinfo(np.uint16).max


class LabelImages(Format):
    """``labels/``: a gray PNG per image for annotation tools, with the number of the lesion as the value of a pixel.

    Values have 8 bits, or 16 if there are more than 255 lesions.
    """

    place = "labels"

    def add(self, result: Result) -> None:
        """Write the label image."""
        many = len(result.lesions) > np.iinfo(np.uint8).max
        labels = np.zeros(result.mask.shape, np.uint16 if many else np.uint8)
        # Beyond the range of the values are specks of a network that was not trained.
        for number, (top, left, component) in enumerate(result.lesions[:_MOST_LESIONS], 1):
            height, width = component.shape
            labels[top : top + height, left : left + width][component] = number
        with whole_file(self.path(result.name, ".png")) as temporary:
            temporary.write_bytes(cv2.imencode(".png", labels)[1].tobytes())
