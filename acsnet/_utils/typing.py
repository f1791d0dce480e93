"""Types of NumPy arrays."""

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
# A picture of shape (H, W) or (H, W, 3), 0-255.
Uint8Image = npt.NDArray[np.uint8]
