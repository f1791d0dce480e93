"""The registry of deformable-convolution backends.

To add a backend, write a module in this folder that defines a :class:`~acsnet.ops.backends.base.Backend`, import it
here and add it to :data:`BACKENDS`. Argument checks, dispatch, ``list_backends`` and the tests that compare backends
use this tuple.
"""

from acsnet.ops.backends import mmcv, pytorch, torchvision, triton
from acsnet.ops.backends.base import Backend, DeformConvCall, Gradients, Needs

BACKENDS: tuple[Backend, ...] = (pytorch.BACKEND, torchvision.BACKEND, mmcv.BACKEND, triton.BACKEND)

__all__ = ["BACKENDS", "Backend", "DeformConvCall", "Gradients", "Needs"]
