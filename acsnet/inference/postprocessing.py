"""Post-processing of binary masks: remove small components, keep the largest component, fill holes.

Components are 8-connected, as in :func:`acsnet.metrics.count_lesions`: pixels that touch at a corner belong together.
The background is then 4-connected, so that a ring of pixels that touch at corners encloses a hole.
"""

import cv2
import numpy as np
import numpy.typing as npt

from acsnet._utils.components import label_components
from acsnet.config import PostprocessingConfig

Mask = npt.NDArray[np.bool_]


def postprocess(mask: Mask, settings: PostprocessingConfig) -> Mask:
    """Apply the configured steps to a mask (H, W) at the size of the image: small components, largest component, holes.

    Example:
        >>> import numpy as np
        >>> from acsnet.config import PostprocessingConfig
        >>> from acsnet.inference.postprocessing import postprocess
        >>> mask = np.array([[1, 1, 0, 1]], bool)
        >>> postprocess(mask, PostprocessingConfig(largest_component=True)).astype(int).tolist()
        [[1, 1, 0, 0]]
    """
    if settings.minimum_area > 0:
        mask = remove_small_components(mask, settings.minimum_area)
    if settings.largest_component:
        mask = keep_largest_component(mask)
    return fill_holes(mask) if settings.fill_holes else mask


def remove_small_components(mask: Mask, minimum_area: float) -> Mask:
    """Remove the components of a mask (H, W) whose area is less than a fraction of the image's area, 0 to 1."""
    components, areas = label_components(mask)
    return (areas >= minimum_area * mask.size)[components] & mask


def keep_largest_component(mask: Mask) -> Mask:
    """Keep the component of a mask (H, W) with the most pixels.

    Ties go to the component that comes first in row-major order.
    """
    components, areas = label_components(mask)
    # The first area is the background's.
    if len(areas) == 1:
        return mask
    is_largest = np.append(False, areas[1:] == areas[1:].max())
    # The numbers of components do not follow the order of their first pixels.
    first = is_largest[components].argmax()
    return components == components.flat[first]


def fill_holes(mask: Mask) -> Mask:
    """Fill the holes of a mask (H, W): background that is not 4-connected to the border of the image."""
    # In a frame of background, which joins all background that is connected to the border.
    background = np.pad(~mask, 1, constant_values=True)
    _, components = cv2.connectedComponents(background.astype(np.uint8), connectivity=4)
    return (components != components[0, 0])[1:-1, 1:-1]
