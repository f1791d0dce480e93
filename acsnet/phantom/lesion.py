"""Lesions of the phantom generator, after the BI-RADS lexicon."""

from dataclasses import dataclass

import cv2
import numpy as np

from acsnet._utils.typing import BoolArray, Float32Array, Float64Array
from acsnet.phantom.tissue import Medium, smooth_noise

ANGLES = np.linspace(0, 2 * np.pi, 240, endpoint=False)
# Area of one lesion as a fraction of the image.
MIN_AREA = 0.01
MAX_AREA = 0.25
# Largest area of a second lesion.
MAX_AREA_OF_SECOND = 0.03
# Depth of lesions as a fraction of the height of the image: below the skin, above the lower edge.
MIN_DEPTH = 0.08
MAX_DEPTH = 0.92
# Number of random positions to try for a second lesion.
_MAX_POSITIONS = 20


@dataclass(frozen=True)
class Lesion:
    """Shape and class of a lesion.

    Attributes:
        mask: (H, W) bool, True inside.
        distance: (H, W) float32, distance to the outline in pixels, negative inside.
        malignant: Whether the lesion has the descriptors of malignant lesions, or those of benign ones.
    """

    mask: BoolArray
    distance: Float32Array
    malignant: bool


def draw_lesion(
    shape: tuple[int, int], malignant: bool, rng: np.random.Generator, occupied: BoolArray | None = None
) -> Lesion | None:
    """Draw the outline and position of a lesion.

    Benign lesions are oval with up to three gentle lobulations, wider than tall. Malignant lesions are taller than
    wide, and spiculated, angular or microlobulated. The descriptors are those of the ACR BI-RADS Atlas, 5th edition
    (2013), Ultrasound; sizes follow BUSI.

    Args:
        shape: (height, width) in pixels.
        malignant: Whether to draw a malignant or a benign lesion.
        rng: Source of the random numbers.
        occupied: (H, W) bool, pixels of another lesion: the new one is small and does not touch them.

    Returns:
        The lesion, or None if none of twenty random positions is clear of ``occupied``.
    """
    outline = _malignant_outline(rng) if malignant else _benign_outline(rng)
    aspect = rng.uniform(1.08, 1.5) if malignant else rng.uniform(0.42, 0.78)
    median, spread = (0.10, 0.55) if malignant else (0.045, 0.75)
    area = float(np.clip(median * np.exp(spread * rng.standard_normal()), MIN_AREA, MAX_AREA))
    if occupied is not None:
        area = min(area, MAX_AREA_OF_SECOND)
    outline = _scaled(outline, aspect, area, shape)
    margin = np.ones((9, 9), np.uint8)
    blocked = None if occupied is None else cv2.dilate(occupied.astype(np.uint8), margin) > 0
    for _ in range(_MAX_POSITIONS):
        mask = _filled(outline + _place(outline, shape, rng), shape)
        if blocked is None or not (mask & blocked).any():
            return Lesion(mask, _signed_distance(mask), malignant)
    return None


def _polar(radii: Float64Array, rotation: float) -> Float64Array:
    """Return points (N, 2) as (across, depth) from radii (N,) at :data:`ANGLES`."""
    return np.stack([radii * np.cos(ANGLES + rotation), radii * np.sin(ANGLES + rotation)], axis=1)


def _waves(rng: np.random.Generator, orders: tuple[int, ...], size: float) -> Float64Array:
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    sizes = rng.uniform(0.3, 1.0, len(orders)) * size
    waves = [amount * np.cos(k * ANGLES + phase) for k, amount, phase in zip(orders, sizes, phases, strict=True)]
    return np.sum(waves, axis=0)


def _benign_outline(rng: np.random.Generator) -> Float64Array:
    """Return an oval with gentle lobulations, to be scaled by :func:`_scaled`."""
    lobulated = rng.random() < 0.4
    radii = 1 + _waves(rng, (2, 3), 0.1 if lobulated else 0.04)
    points = _polar(radii, 0.0) * (1.0, 0.6)
    tilt = rng.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    return points @ turn


def _malignant_outline(rng: np.random.Generator) -> Float64Array:
    """Return an irregular outline with one of three margins of the lexicon."""
    radii = 1 + _waves(rng, (2, 3, 4, 5), 0.15)
    margin = rng.choice(["spiculated", "angular", "microlobulated"])
    if margin == "spiculated":
        for center in rng.uniform(0, 2 * np.pi, rng.integers(7, 13)):
            away = np.abs((ANGLES - center + np.pi) % (2 * np.pi) - np.pi)
            radii += rng.uniform(0.15, 0.4) * np.clip(1 - away / rng.uniform(0.12, 0.3), 0, None)
    elif margin == "angular":
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(9, 14)))
        lengths = rng.uniform(0.75, 1.25, len(corners))
        radii *= np.interp(ANGLES, corners, lengths, period=2 * np.pi)
    else:
        lobes = rng.integers(8, 14)
        wobble = 0.5 * np.sin(2 * ANGLES + rng.uniform(0, 6))
        radii += rng.uniform(0.10, 0.2) * np.abs(np.sin(lobes * ANGLES / 2 + wobble))
        radii += _waves(rng, (13, 17), 0.025)
    return _polar(radii, rng.uniform(0, 2 * np.pi))


def _scaled(outline: Float64Array, aspect: float, area: float, shape: tuple[int, int]) -> Float64Array:
    """Return the outline in pixels with this ratio of height to width and this area, smaller if it does not fit."""
    height, width = shape
    extent = np.ptp(outline, axis=0)
    points = outline / extent * (1.0, aspect)
    points *= np.sqrt(area * height * width / cv2.contourArea(points.astype(np.float32)))
    across, down = np.ptp(points, axis=0)
    return points * min(1.0, 0.66 * height / down, 0.9 * width / across)


def _place(outline: Float64Array, shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """Return a random shift (across, depth) in pixels that puts the outline inside the image, shallow more often."""
    height, width = shape
    low, high = outline.min(axis=0), outline.max(axis=0)
    top, bottom = MIN_DEPTH * height - low[1], MAX_DEPTH * height - high[1]
    left, right = 2 - low[0], width - 3 - high[0]
    return np.array([rng.uniform(left, right), top + rng.beta(1.3, 2.2) * (bottom - top)])


def _filled(points: Float64Array, shape: tuple[int, int]) -> BoolArray:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    return canvas.astype(bool)


def _signed_distance(mask: BoolArray) -> Float32Array:
    inside = mask.astype(np.uint8)
    outward = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return np.asarray(outward - cv2.distanceTransform(inside, cv2.DIST_L2, 5), dtype=np.float32)


def add_lesion(medium: Medium, lesion: Lesion, rng: np.random.Generator) -> None:
    """Add a lesion to the tissue in place: its echoes, its margin, and its enhancement or shadow.

    Benign lesions are homogeneous, solid to cystic (anechoic) and circumscribed, sometimes with a thin bright capsule
    and edge shadows, and have enhancement behind them. Malignant lesions are heterogeneous and not circumscribed, with
    an echogenic rim and sometimes microcalcifications, and have a shadow behind them.
    """
    if lesion.malignant:
        _add_malignant(medium, lesion, rng)
    else:
        _add_benign(medium, lesion, rng)


def _fill(medium: Medium, distance: Float32Array, echo_db: Float32Array, softness: float) -> Float32Array:
    """Replace the tissue inside a lesion, blending over ``softness`` pixels; return the replaced fraction (H, W)."""
    inside = np.clip(0.5 - distance / softness, 0, 1).astype(np.float32)
    medium.echo_db += inside * (echo_db - medium.echo_db)
    medium.specular *= 1 - inside
    return inside


def _surroundings_db(medium: Medium, lesion: Lesion) -> float:
    """Return the mean echo level around the lesion, in decibels."""
    reach = 0.06 * lesion.mask.shape[0]
    return float(medium.echo_db[(lesion.distance > 0) & (lesion.distance < reach)].mean())


def _tallest_column(lesion: Lesion) -> int:
    return int(lesion.mask.sum(axis=0).max())


def _add_benign(medium: Medium, lesion: Lesion, rng: np.random.Generator) -> None:
    surroundings = _surroundings_db(medium, lesion)
    cystic = rng.random() < 0.4
    contrast = rng.uniform(20, 32) if cystic else rng.uniform(6, 13)
    texture = rng.uniform(0.5, 1.5) * smooth_noise(rng, lesion.mask.shape, 0.05, 0.08)
    level = surroundings - contrast + texture
    if cystic:
        level += rng.uniform(0, 12) * _reverberation(lesion, 0.03 * lesion.mask.shape[0])
    inside = _fill(medium, lesion.distance, level, softness=rng.uniform(1.5, 3))
    enhancement = rng.uniform(6, 10) if cystic else rng.uniform(3, 7)
    medium.loss_db -= inside * np.float32(enhancement / _tallest_column(lesion))
    if rng.random() < 0.5:
        _add_capsule(medium, lesion, rng.uniform(0.5, 1.4))
    if rng.random() < 0.5:
        _add_edge_shadows(medium, lesion, rng.uniform(3, 8))


def _reverberation(lesion: Lesion, decay: float) -> Float32Array:
    """Return the reverberation in a cyst: 1 at its front wall, with an exponential decay over ``decay`` pixels."""
    below = np.cumsum(lesion.mask, axis=0, dtype=np.float32)
    return np.asarray(np.exp(-below / np.float32(decay)), dtype=np.float32)


def _add_capsule(medium: Medium, lesion: Lesion, strength: float) -> None:
    """Add a thin bright capsule, brightest where it is perpendicular to the beam."""
    facing = np.abs(cv2.Sobel(lesion.distance, cv2.CV_32F, 0, 1, scale=0.125)) ** 2
    thickness = max(1.0, 0.005 * lesion.mask.shape[0])
    line = np.exp(-(((lesion.distance - thickness) / thickness) ** 2))
    medium.specular += (strength * facing * line).astype(np.float32)


def _add_edge_shadows(medium: Medium, lesion: Lesion, total_db: float) -> None:
    """Add the narrow shadows that refraction casts behind the sides of a smooth mass."""
    height, width = lesion.mask.shape
    columns = np.flatnonzero(lesion.mask.any(axis=0))
    for column in (columns[0], columns[-1]):
        row = np.flatnonzero(lesion.mask[:, column]).mean()
        profile = np.exp(-(((np.arange(width) - column) / (0.012 * height)) ** 2))
        weights = np.exp(-(((np.arange(height) - row) / (0.03 * height)) ** 2))
        medium.loss_db += (total_db * (weights / weights.sum())[:, None] * profile).astype(np.float32)


def _add_malignant(medium: Medium, lesion: Lesion, rng: np.random.Generator) -> None:
    shape = lesion.mask.shape
    rim = rng.uniform(0.012, 0.04) * shape[0]
    strength = rng.uniform(3, 7) * np.clip(0.8 + 0.6 * smooth_noise(rng, shape, 0.15, 0.15), 0, 2)
    surroundings = _surroundings_db(medium, lesion)
    medium.echo_db += (strength * np.exp(-((lesion.distance / rim) ** 2)) * (lesion.distance > 0)).astype(np.float32)
    coarse, fine = smooth_noise(rng, shape, 0.1, 0.12), smooth_noise(rng, shape, 0.03, 0.05)
    texture = rng.uniform(1.5, 3.5) * coarse + rng.uniform(1.0, 3.0) * fine
    level = (surroundings - rng.uniform(5, 10) + texture).astype(np.float32)
    pixel = shape[0] / 256
    # The margin is indistinct: frayed and soft, for every shape.
    frayed = lesion.distance + rng.uniform(0.5, 2.5) * pixel * smooth_noise(rng, shape, 0.025, 0.04)
    inside = _fill(medium, frayed, level, softness=rng.uniform(3, 8) * pixel)
    medium.loss_db += inside * np.float32(rng.uniform(5, 13) / _tallest_column(lesion))
    if rng.random() < 0.35:
        _add_calcifications(medium, lesion, int(rng.integers(3, 12)), rng)


def _add_calcifications(medium: Medium, lesion: Lesion, count: int, rng: np.random.Generator) -> None:
    """Add bright points inside the lesion, each narrower than the beam."""
    rows, columns = np.nonzero(lesion.distance < -2)
    if len(rows) == 0:
        return
    chosen = rng.integers(len(rows), size=count)
    points = np.zeros(lesion.mask.shape, np.float32)
    points[rows[chosen], columns[chosen]] = rng.uniform(4, 10, count)
    medium.specular += cv2.GaussianBlur(points, (3, 3), 0.8)
