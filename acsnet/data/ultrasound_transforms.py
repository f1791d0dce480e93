"""Augmentation made for ultrasound: speckle, depth gain, attenuation, acoustic shadows and the beam's width.

They change what differs between scanners and their settings, and leave the mask alone. Each thinks of a gray image as
log-compressed echo amplitudes: 255 is 0 dB, 0 is -60 dB and everything below (:data:`DYNAMIC_RANGE`), so that a factor
on the amplitude is an addition to the gray value. What is black stays so, since nobody knows how far below it was.
Depth runs downwards; lengths are shares of the image's width or height, so that they hold at every size.

A configuration names them in the list of albumentations' own, as in ``{name: Speckle, strength: [0.0, 0.3], p: 0.3}``;
gamma, brightness, contrast, crops and warps are albumentations' (``RandomGamma`` and so on).
"""

import math
from typing import Annotated, Any

# Imported by acsnet.data.transforms, which first tells albumentations not to ask the network for a newer version.
import albumentations
import cv2
import numpy as np
from albumentations.core.pydantic import check_range_bounds, nondecreasing
from pydantic import AfterValidator, Field

from acsnet.data._ultrasound_fields import (
    DYNAMIC_RANGE,
    RAYLEIGH_CONTRAST,
    amplify,
    check_gray,
    gain_curve,
    shadow_profile,
    speckle,
)
from acsnet.data.images import UInt8Array
from acsnet.phantom.speckle import FloatImage

# How many times wider than high a grain of speckle is: a pulse is shorter than its beam is wide.
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
    """Base of what multiplies the echo amplitude: by how many decibels each pixel is raised."""

    def apply(self, img: UInt8Array, decibels: FloatImage, **_: Any) -> UInt8Array:
        """Add decibels (H, W) or (H, 1) to an image (H, W) or (H, W, C)."""
        return amplify(img, decibels)


class Speckle(_Amplified):
    """Multiply the echo amplitude by spatially correlated noise of mean 1, shaped as fully developed speckle.

    The noise is the envelope of a complex circular Gaussian field that is filtered by a Gaussian point spread: Rayleigh
    distributed, with 0.5227 times its mean as standard deviation (Burckhardt 1978, IEEE Trans. Sonics Ultrason. 25(1),
    1-6). A lower ``strength`` draws it towards 1, as compounding does. A grain is what Wagner et al. (1983, IEEE Trans.
    Sonics Ultrason. 30(3), 156-163) call a speckle cell: the autocovariance of the intensity is Gaussian.

    Args:
        strength: range of the noise's standard deviation, 0 to 0.5227; up to about 0.3 looks like another scan.
        grain: range of the full width at half maximum of that autocovariance across the beam, a share of the image's
            width; along the beam it is half of that.
        p: probability.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Which values are valid."""

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
    """Change the gain along depth smoothly, as the sliders of time-gain compensation do.

    Args:
        decibels: range that each slider is drawn from; the gain never leaves it.
        sliders: how many there are, at equal distances from top to bottom; at least 2.
        p: probability.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Which values are valid."""

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
    """Weaken echoes exponentially with depth: so many decibels at the lower edge, none at the upper.

    Args:
        decibels: range of the loss over the image's height.
        p: probability.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Which values are valid."""

        decibels: _Decibels

    def __init__(self, decibels: tuple[float, float] = (2, 12), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.decibels = decibels

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the loss, (H, 1)."""
        loss = self.py_random.uniform(*self.decibels)
        return {"decibels": np.linspace(0, -loss, params["shape"][0], dtype=np.float32)[:, None]}


class AcousticShadow(_Amplified):
    """Darken a band with soft edges below a random point, as behind calcifications, ribs and air.

    Args:
        decibels: range of the loss in the band's middle.
        width: range of the band's width at the upper edge of the image, a share of the image's; half as wide, it has
            half the loss.
        start: range of the depth at which it sets in, a share of the image's height; over the next 0.15 it grows to
            its full loss.
        divergence: range of how far beams spread, from 0 (linear probe: the band is straight and upright) on: at the
            lower edge the band is 1 + ``divergence`` times as wide and as far from the middle.
        p: probability.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Which values are valid."""

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
    """Blur across the beam, not along it, growing linearly with depth: a beam widens behind its focus.

    Args:
        width: range of the blur's standard deviation at the lower edge, a share of the image's width.
        p: probability.
    """

    class InitSchema(albumentations.BasicTransform.InitSchema):
        """Which values are valid."""

        width: _Share

    def __init__(self, width: tuple[float, float] = (0.004, 0.012), p: float = 0.5) -> None:
        super().__init__(p=p)
        self.width = width

    def get_params(self) -> dict[str, Any]:
        """Draw the width."""
        return {"width": self.py_random.uniform(*self.width)}

    def apply(self, img: UInt8Array, width: float, **_: Any) -> UInt8Array:
        """Blend an image (H, W) or (H, W, C) with itself blurred."""
        check_gray(img, "ProbeBlur")
        sigma = width * img.shape[1]
        blurred = cv2.GaussianBlur(img, (2 * max(1, round(3 * sigma)) + 1, 1), max(sigma, 1e-3))
        share = np.repeat(np.linspace(0, 1, img.shape[0], dtype=np.float32)[:, None], img.shape[1], axis=1)
        return cv2.blendLinear(img, blurred, 1 - share, share).reshape(img.shape)


TRANSFORMS = {kind.__name__: kind for kind in (Speckle, DepthGain, Attenuation, AcousticShadow, ProbeBlur)}
