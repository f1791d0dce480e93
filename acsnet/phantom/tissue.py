"""Healthy breast tissue of the phantom generator: layers, streaks, ligaments, lobules, ducts and ribs."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from acsnet._utils.typing import Float32Array


class Layer(NamedTuple):
    """A layer of the breast.

    Attributes:
        echo_db: Mean echo level in decibels, relative to fibroglandular tissue.
        min_thickness: Smallest thickness, as a fraction of the height of the image.
        max_thickness: Largest thickness, as a fraction of the height.
        waviness: Standard deviation of the lower boundary, as a fraction of the height.
    """

    echo_db: float
    min_thickness: float
    max_thickness: float
    waviness: float


SKIN = Layer(echo_db=4.0, min_thickness=0.025, max_thickness=0.05, waviness=0.004)
SUBCUTANEOUS_FAT = Layer(echo_db=-7.5, min_thickness=0.05, max_thickness=0.24, waviness=0.03)
FIBROGLANDULAR_TISSUE = Layer(echo_db=0.0, min_thickness=0.22, max_thickness=0.46, waviness=0.02)
RETROMAMMARY_FAT = Layer(echo_db=-8.0, min_thickness=0.02, max_thickness=0.07, waviness=0.012)
PECTORAL_MUSCLE = Layer(echo_db=-5.0, min_thickness=0.10, max_thickness=0.20, waviness=0.012)
# From the surface downwards; the chest wall fills the rest of the image.
LAYERS = (SKIN, SUBCUTANEOUS_FAT, FIBROGLANDULAR_TISSUE, RETROMAMMARY_FAT, PECTORAL_MUSCLE)
CHEST_WALL_DB = -10.0


@dataclass
class Medium:
    """Acoustic properties per pixel; lesions are added in place.

    Attributes:
        echo_db: (H, W) float32, level of the diffuse scatterers in decibels.
        specular: (H, W) float32, amplitude of smooth reflectors, >= 0.
        loss_db: (H, W) float32, two-way attenuation per pixel that time-gain compensation does not correct, in
            decibels: positive values cast a shadow, negative ones cause enhancement.
    """

    echo_db: Float32Array
    specular: Float32Array
    loss_db: Float32Array


@dataclass(frozen=True)
class _Grid:
    """Coordinates in units of the height of the image, bent so that the grain of the tissue is curved."""

    depth: Float32Array  # (H, 1), 0 to 1
    across: Float32Array  # (1, W), 0 to W / H
    columns: Float32Array  # (H, W), position in the unbent texture, in pixels
    rows: Float32Array

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.depth), self.across.shape[1]

    def bend(self, texture: Float32Array) -> Float32Array:
        """Bend a texture (H, W) along the grain of the tissue."""
        bent = cv2.remap(texture, self.columns, self.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(bent, dtype=np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_depth: float, cell_across: float
) -> Float32Array:
    """Return Gaussian noise (H, W) with mean about 0 and standard deviation 1, correlated over cells of a given size.

    Args:
        rng: Source of the noise.
        shape: (height, width) in pixels.
        cell_depth: Height of a cell as a fraction of the height of the image.
        cell_across: Width of a cell, in the same unit.
    """
    height, width = shape
    cells = (int(np.ceil(1 / cell_depth)) + 2, int(np.ceil(width / height / cell_across)) + 2)
    coarse = rng.standard_normal(cells, np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / max(float(fine.std()), 1e-3), dtype=np.float32)


def _wave(rng: np.random.Generator, shape: tuple[int, int], cell_across: float) -> Float32Array:
    """Return Gaussian noise (1, W) that varies across the image only, with standard deviation about 1."""
    height, width = shape
    coarse = rng.standard_normal((1, int(np.ceil(width / height / cell_across)) + 2), np.float32)
    # Cubic interpolation between independent values lowers their standard deviation to about 0.93.
    return np.asarray(cv2.resize(coarse, (width, 1), interpolation=cv2.INTER_CUBIC) / 0.93, dtype=np.float32)


def breast_tissue(shape: tuple[int, int], rng: np.random.Generator, distractors: float) -> Medium:
    """Return a healthy breast from the skin to the chest wall.

    Args:
        shape: (height, width) in pixels.
        rng: Source of the random numbers.
        distractors: Mean number of fat lobules, and also of ligament shadows, which resemble lesions.
    """
    grid = _bent_grid(shape, rng)
    bounds = _layer_bounds(grid, rng)
    below = [_step(grid.depth - bound, 0.006) for bound in bounds]
    textures = _layer_textures(grid, rng)
    echo = textures[0]
    for upper, lower, step in zip(textures, textures[1:], below, strict=False):
        echo = echo + step * (lower - upper)
    medium = Medium(echo.astype(np.float32), _fascia(grid, bounds, rng), np.zeros(shape, np.float32))
    medium.specular += _ligaments(grid, rng) * below[0] * (1 - below[2])
    _add_lobules(medium, grid, below[1] * (1 - below[2]), int(rng.poisson(distractors)), rng)
    _add_ligament_shadows(medium, grid, bounds[1], int(rng.poisson(distractors)), rng)
    if rng.random() < 0.04:
        _add_rib(medium, grid, bounds[4], rng)
    return medium


def _step(distance: Float32Array, softness: float) -> Float32Array:
    return np.clip(distance / softness + 0.5, 0, 1).astype(np.float32)


def _bent_grid(shape: tuple[int, int], rng: np.random.Generator) -> _Grid:
    height, width = shape
    depth: Float32Array = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.arange(width, dtype=np.float32)[None, :] / np.float32(height)
    tilt = rng.uniform(-0.12, 0.12) * _slope(across)
    lift = rng.uniform(0.01, 0.03) * smooth_noise(rng, shape, 0.3, 0.45) + tilt
    columns = np.broadcast_to(across * height, shape).astype(np.float32)
    return _Grid(depth, across, columns, ((depth + lift) * height).astype(np.float32))


def _slope(across: Float32Array) -> Float32Array:
    """Return a ramp (1, W) with mean 0 that rises by 1 over the width, or less if the image is narrow."""
    return np.asarray((across - across.mean()) / max(1.0, float(across[0, -1])), dtype=np.float32)


def _layer_bounds(grid: _Grid, rng: np.random.Generator) -> list[Float32Array]:
    """Return the lower boundaries (1, W) of the first five layers, as fractions of the height."""
    bounds: list[Float32Array] = []
    base = 0.01
    tilt = rng.uniform(-0.1, 0.1) * _slope(grid.across)
    for index, layer in enumerate(LAYERS):
        base += rng.uniform(layer.min_thickness, layer.max_thickness)
        curve = _wave(rng, grid.shape, 0.25) * layer.waviness + base + tilt * min(index, 3) / 3
        boundary = np.maximum(curve, bounds[-1] + layer.min_thickness / 2) if bounds else curve
        bounds.append(boundary.astype(np.float32))
    return bounds


def _layer_textures(grid: _Grid, rng: np.random.Generator) -> list[Float32Array]:
    """Return the echo level (H, W) in decibels of each of the six layers, as if it filled the image."""
    shape = grid.shape
    streaks = grid.bend(smooth_noise(rng, shape, rng.uniform(0.014, 0.022), rng.uniform(0.08, 0.16)))
    patches = smooth_noise(rng, shape, 0.07, 0.16)
    lobes = grid.bend(smooth_noise(rng, shape, rng.uniform(0.035, 0.06), rng.uniform(0.08, 0.14)))
    density = rng.uniform(0.1, 1.3)
    ducts = _level_lines(lobes, density, 0.006 * shape[0])
    gland = rng.uniform(3.0, 5.5) * streaks + 2 * patches - rng.uniform(6, 11) * _step(lobes - density, 0.8) - 5 * ducts
    fat = 1.0 * patches + 1.2 * streaks
    fibers = grid.bend(smooth_noise(rng, shape, rng.uniform(0.012, 0.02), rng.uniform(0.3, 0.6)))
    textures = (np.float32(0) * patches, fat, gland, fat, 4.0 * fibers + patches, 2.5 * fibers + 2.5 * patches)
    levels_db = (*(layer.echo_db for layer in LAYERS), CHEST_WALL_DB)
    return [
        (level + texture + rng.normal(0, 1)).astype(np.float32)
        for level, texture in zip(levels_db, textures, strict=True)
    ]


def _level_lines(field: Float32Array, level: float, thickness: float) -> Float32Array:
    """Return lines (H, W), 0 to 1, along the contours ``field == level``, with one ``thickness`` in pixels."""
    slope_across = cv2.Sobel(field, cv2.CV_32F, 1, 0, scale=0.125)
    slope_depth = cv2.Sobel(field, cv2.CV_32F, 0, 1, scale=0.125)
    slope = cv2.magnitude(slope_across, slope_depth) + 1e-4
    # A smooth reflector returns the echo to the probe only where it is perpendicular to the beam.
    facing = (slope_depth / slope) ** 2
    return np.asarray(facing * cv2.exp(-(((field - level) / (slope * thickness)) ** 2)), dtype=np.float32)


def _ligaments(grid: _Grid, rng: np.random.Generator) -> Float32Array:
    """Return the amplitude (H, W) of Cooper's ligaments and septa: thin curved lines that face the probe."""
    strength = rng.uniform(1.8, 4.0) * np.clip(0.3 + 0.8 * smooth_noise(rng, grid.shape, 0.08, 0.12), 0, 2)
    total = np.zeros(grid.shape, np.float32)
    for cell in rng.uniform((0.04, 0.09), (0.07, 0.14)):
        field = grid.bend(smooth_noise(rng, grid.shape, cell, 2.5 * cell))
        total += _level_lines(field, rng.uniform(-0.4, 0.4), max(0.8, 0.0035 * grid.shape[0]))
    return np.asarray(strength * total, dtype=np.float32)


def _fascia(grid: _Grid, bounds: list[Float32Array], rng: np.random.Generator) -> Float32Array:
    """Return the amplitude (H, W) of the bright lines along the layer boundaries and of the probe cover."""
    total = 2.5 * np.exp(-((grid.depth / 0.008) ** 2)) * np.ones(grid.shape, np.float32)
    for bound, strength in zip(bounds, (1.6, 1.1, 0.8, 1.6, 1.5), strict=True):
        along = np.clip(0.8 + 0.5 * _wave(rng, grid.shape, 0.12), 0, 2)
        thickness = rng.uniform(0.004, 0.007)
        total += strength * along * np.exp(-(((grid.depth - bound) / thickness) ** 2))
    return total.astype(np.float32)


def _ellipse(grid: _Grid, center: tuple[float, float], semi_axes: tuple[float, float]) -> Float32Array:
    """Return the distance (H, W) from a center (depth, across) in units of the ellipse: 1 on its edge."""
    below, aside = (grid.depth - center[0]) / semi_axes[0], (grid.across - center[1]) / semi_axes[1]
    return np.sqrt(below**2 + aside**2)


def _add_lobules(medium: Medium, grid: _Grid, gland: Float32Array, count: int, rng: np.random.Generator) -> None:
    """Add fat lobules to the gland: as dark as fat, with a thin capsule, without shadow or enhancement."""
    for _ in range(count):
        column = int(rng.integers(grid.shape[1]))
        rows = np.flatnonzero(gland[:, column] > 0.5)
        center = (float(grid.depth[rng.choice(rows), 0]), float(grid.across[0, column]))
        semi = rng.uniform(0.02, 0.05)
        radius = grid.bend(_ellipse(grid, center, (semi, semi * rng.uniform(1.3, 2.6))))
        inside = _step(1 - radius, 0.35) * gland
        medium.echo_db += inside * (SUBCUTANEOUS_FAT.echo_db - rng.uniform(0, 3) - medium.echo_db)
        medium.specular *= 1 - inside
        facing = np.abs(grid.depth - center[0]) / semi
        capsule = facing * np.exp(-(((radius - 1) / 0.12) ** 2)) * (facing < 1.5) * gland
        medium.specular += rng.uniform(0.2, 0.8) * capsule


def _add_ligament_shadows(
    medium: Medium, grid: _Grid, start: Float32Array, count: int, rng: np.random.Generator
) -> None:
    """Add narrow shadows that steep ligaments cast from the lower edge of the fat."""
    for _ in range(count):
        column = int(rng.integers(grid.shape[1]))
        depth, center = float(start[0, column]), float(grid.across[0, column])
        width, total_db = rng.uniform(0.01, 0.05), rng.uniform(2, 8)
        profile = np.exp(-(((grid.across - center) / width) ** 2))
        medium.loss_db += total_db * profile * _column_weights(grid.depth, depth, rng.uniform(0.02, 0.1))


def _column_weights(depth: Float32Array, start: float, thickness: float) -> Float32Array:
    """Return weights (H, 1) that sum to 1 down a column, centered at ``start`` with width ``thickness``."""
    weights = np.exp(-(((depth - start) / thickness) ** 2))
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _add_rib(medium: Medium, grid: _Grid, chest_wall: Float32Array, rng: np.random.Generator) -> None:
    """Add a rib below the muscle: a bright arc with a deep shadow behind it."""
    column = int(rng.integers(grid.shape[1]))
    center = (float(chest_wall[0, column]) + 0.06, float(grid.across[0, column]))
    radius = _ellipse(grid, center, (0.06, rng.uniform(0.1, 0.16)))
    medium.specular += 2.0 * np.exp(-(((radius - 1) / 0.08) ** 2)) * (grid.depth < center[0] - 0.02)
    medium.loss_db += _step(1 - radius, 0.3) * np.float32(25 / (0.12 * grid.shape[0]))


def shadow_db(loss_db: Float32Array, beam_sigma: float) -> Float32Array:
    """Return the cumulative loss (H, W) above each pixel in decibels, blurred laterally by ``beam_sigma`` pixels."""
    lost: Float32Array = np.cumsum(loss_db, axis=0, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(lost, (0, 1), beam_sigma) if beam_sigma > 0 else lost, dtype=np.float32)
