"""Connected components of masks."""

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.typing import BoolArray


def label_components(mask: BoolArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the component of each pixel of a mask (H, W), and the area per component in pixels.

    Pixels that touch at a corner are connected. Component 0 is the background.

    Example:
        >>> import numpy as np
        >>> from acsnet._utils.components import label_components
        >>> components, areas = label_components(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool))
        >>> components.tolist(), areas.tolist()
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], [7, 2])
    """
    _, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return components, np.bincount(components.ravel())
