"""Augmentation for ultrasound: speckle, depth gain, attenuation, acoustic shadows and beam width.

These transforms vary properties that differ between scanners and their settings, and do not change the mask. They
interpret a gray image as log-compressed echo amplitudes: 255 is 0 dB, 0 is -60 dB or less (:data:`DYNAMIC_RANGE`), so
that multiplying the amplitude adds to the gray value. Black stays black, since its amplitude is unknown. Depth runs
downwards. Lengths are fractions of the width or height of the image, so that they apply to any size.

A configuration lists them among the transforms of albumentations, for example ``{name: Speckle, strength: [0.0, 0.3],
p: 0.3}``. For gamma, brightness, contrast, crops and warps use the transforms of albumentations (``RandomGamma`` and so
on).
"""

import math
from typing import Annotated, Any

# Imported by acsnet.data.transforms, which first stops albumentations from asking the network for updates.
import albumentations
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from pydantic import AfterValidator, Field

from acsnet._utils.typing import Float32Array
from acsnet.data._ultrasound_fields import (
    DYNAMIC_RANGE,
    RAYLEIGH_CONTRAST,
    amplify,
    check_uint8,
    gain_curve,
    shadow_profile,
    speckle,
)
from acsnet.data.images import UInt8Array

# Width over height of a speckle grain: a pulse is shorter than its beam is wide.
_GRAIN_ELONGATION = 2.0
# Full width at half maximum of a Gaussian, in standard deviations.
_FWHM = math.sqrt(8 * math.log(2))

_Decibels = Annotated[
    tuple[float, float], AfterValidator(check_range_bounds(0, DYNAMIC_RANGE)), AfterValidator(nondecreasing)
]
_Gain = Annotated[
    tuple[float, float],
    AfterValidator(check_range_bounds(-DYNAMIC_RANGE, DYNAMIC_RANGE)),
    AfterValidator(nondecreasing),
]
_Contrast = Annotated[
    tuple[float, float], AfterValidator(check_range_bounds(0, RAYLEIGH_CONTRAST)), AfterValidator(nondecreasing)
]
_Share = Annotated[tuple[float, float], AfterValidator(check_range_bounds(0, 1)), AfterValidator(nondecreasing)]
_Sliders = Annotated[int, Field(ge=2)]


class _Amplified(albumentations.ImageOnlyTransform):
    """Base of the transforms that multiply the echo amplitude; subclasses return the decibels per pixel."""

    def apply(self, img: UInt8Array, decibels: Float32Array, **_: Any) -> UInt8Array:
        """Add decibels (H, W) or (H, 1) to an image (H, W) or (H, W, C)."""
        return amplify(img, decibels)


class Speckle(_Amplified):
    """Multiplication of the echo amplitude by spatially correlated noise with mean 1, like fully developed speckle.

    The noise is the envelope of a complex circular Gaussian field that is filtered by a Gaussian point spread: it is
    Rayleigh distributed, and its standard deviation is 0.5227 times its mean (Burckhardt 1978, IEEE Trans. Sonics
    Ultrason. 25(1), 1-6). A lower ``strength`` moves it towards 1, as compounding does. A grain is a speckle cell of
    Wagner et al. (1983, IEEE Trans. Sonics Ultrason. 30(3), 156-163): the autocovariance of the intensity is Gaussian.

    Args:
        strength: Range of the standard deviation of the noise, 0 to 0.5227; up to about 0.3 looks like another scan.
        grain: Range of the full width at half maximum of that autocovariance across the beam, as a fraction of the
            width of the image; along the beam it is half as large.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        strength: _Contrast
        grain: _Share

    def __init__(
        self,
        strength: tuple[float, float] = (0.05, 0.3),
        grain: tuple[float, float] = (0.006, 0.016),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.strength = strength
        self.grain = grain

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the noise, in decibels."""
        height, width = params["shape"][:2]
        lateral = self.py_random.uniform(*self.grain) * width / _FWHM
        noise = speckle((height, width), lateral / _GRAIN_ELONGATION, lateral, self.random_generator)
        strength = self.py_random.uniform(*self.strength) / RAYLEIGH_CONTRAST
        factor = np.maximum(1 - strength + strength * noise, np.float32(1e-6))
        return {"decibels": cv2.log(factor) * np.float32(20 / math.log(10))}


class DepthGain(_Amplified):
    """Smooth change of the gain along depth, as by the sliders of time-gain compensation.

    Args:
        decibels: Range of each slider; the gain stays within it.
        sliders: Number of sliders, equally spaced from top to bottom; at least 2.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        decibels: _Gain
        sliders: _Sliders

    def __init__(self, decibels: tuple[float, float] = (-6, 6), sliders: int = 6, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.decibels = decibels
        self.sliders = sliders

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the curve, (H, 1)."""
        values = [self.py_random.uniform(*self.decibels) for _ in range(self.sliders)]
        return {"decibels": gain_curve(values, params["shape"][0])}


class Attenuation(_Amplified):
    """Exponential loss of the echoes with depth, linear in decibels, from 0 dB at the upper edge.

    Args:
        decibels: Range of the loss at the lower edge.
        p: Probability of the transform.

    Example:
        >>> import numpy as np
        >>> from acsnet.config import TransformConfig
        >>> from acsnet.data import Augmentation
        >>> step = TransformConfig.model_validate({"name": "Attenuation", "decibels": [12, 12], "p": 1.0})
        >>> image, mask = np.full((5, 2, 1), 200, np.uint8), np.zeros((5, 2), np.bool_)
        >>> darkened, _ = Augmentation([step], size=(5, 2), channels=1)(image, mask, seed=0)
        >>> darkened[:, 0, 0].tolist()
        [200, 187, 174, 162, 149]
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        decibels: _Decibels

    def __init__(self, decibels: tuple[float, float] = (2, 12), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.decibels = decibels

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the loss, (H, 1)."""
        loss = self.py_random.uniform(*self.decibels)
        return {"decibels": np.linspace(0, -loss, params["shape"][0], dtype=np.float32)[:, None]}


class AcousticShadow(_Amplified):
    """A dark band with soft edges below a random point, as behind calcifications, ribs and air.

    Args:
        decibels: Range of the loss in the middle of the band.
        width: Range of the width of the band at the upper edge, as a fraction of the width of the image; the band has
            half its loss at half its width.
        start: Range of the depth of its onset, as a fraction of the height; it grows to its full loss over the next
            0.15 of the height.
        divergence: Range of the spread of the beams, 0 or more: at the lower edge the band is 1 + ``divergence`` times
            as wide and as far from the middle. With 0, as for a linear probe, it is straight and upright.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        decibels: _Decibels
        width: _Share
        start: _Share
        divergence: _Share

    def __init__(
        self,
        decibels: tuple[float, float] = (4, 16),
        width: tuple[float, float] = (0.06, 0.3),
        start: tuple[float, float] = (0.1, 0.6),
        divergence: tuple[float, float] = (0.0, 0.4),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.decibels = decibels
        self.width = width
        self.start = start
        self.divergence = divergence

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the loss, (H, W)."""
        draw = self.py_random.uniform
        profile = shadow_profile(
            params["shape"][:2], draw(0, 1), draw(*self.width), draw(*self.start), draw(*self.divergence)
        )
        return {"decibels": profile * np.float32(-draw(*self.decibels))}


class ProbeBlur(albumentations.ImageOnlyTransform):
    """Blur across the beam that grows linearly with depth, as the beam widens behind its focus.

    Args:
        width: Range of the standard deviation of the blur at the lower edge, as a fraction of the width of the image.
        p: Probability of the transform.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Valid values of the arguments."""

        width: _Share

    def __init__(self, width: tuple[float, float] = (0.004, 0.012), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.width = width

    def get_params(self) -> dict[str, Any]:
        """Draw the width."""
        return {"width": self.py_random.uniform(*self.width)}

    def apply(self, img: UInt8Array, width: float, **_: Any) -> UInt8Array:
        """Blend an image (H, W) or (H, W, C) with its blurred copy."""
        check_uint8(img, "ProbeBlur")
        sigma = width * img.shape[1]
        blurred = cv2.GaussianBlur(img, (2 * max(1, round(3 * sigma)) + 1, 1), max(sigma, 1e-3))
        share = np.repeat(np.linspace(0, 1, img.shape[0], dtype=np.float32)[:, None], img.shape[1], axis=1)
        return cv2.blendLinear(img, blurred, 1 - share, share).reshape(img.shape)


TRANSFORMS = {kind.__name__: kind for kind in (Speckle, DepthGain, Attenuation, AcousticShadow, ProbeBlur)}
