"""The registry of deformable-convolution backends.

To add one: write a file beside this one that defines a :class:`~acsnet.ops.backends.base.Backend`, import it here and
add it to :data:`BACKENDS`. Validation, dispatch, ``list_backends`` and the parity tests take it up from there.
"""

from acsnet.ops.backends import mmcv, pytorch, torchvision, triton
from acsnet.ops.backends.base import Backend, DeformConvCall, Gradients, Needs

BACKENDS: tuple[Backend, ...] = (pytorch.BACKEND, torchvision.BACKEND, mmcv.BACKEND, triton.BACKEND)

__all__ = ["BACKENDS", "Backend", "DeformConvCall", "Gradients", "Needs"]
