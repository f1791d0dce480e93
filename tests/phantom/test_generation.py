"""The phantom generator: physics, lesions, files and errors."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet._utils.files import DiskFullError
from acsnet._utils.typing import Uint8Image
from acsnet.errors import DataError, InputError
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import generation
from acsnet.phantom.generation import Phantom, make_phantom, write_phantoms
from acsnet.phantom.lesion import MAX_AREA, MIN_AREA, Lesion, add_lesion, draw_lesion
from acsnet.phantom.overlay import draw_calipers, draw_caption
from acsnet.phantom.speckle import PointSpread, log_compress, speckle_envelope
from acsnet.phantom.tissue import Medium, shadow_db

RAYLEIGH_SNR = float(np.sqrt(np.pi / (4 - np.pi)))
SHAPE = (256, 256)


@pytest.fixture(scope="module")
def phantoms() -> dict[str, list[Phantom]]:
    return {label: [make_phantom(label, seed) for seed in range(24)] for label in CLASS_NAMES}


def homogeneous_envelope(looks: int) -> np.ndarray:
    flat = np.ones((400, 400), np.float32)
    rng = np.random.default_rng(0)
    return speckle_envelope(flat, np.zeros_like(flat), PointSpread(axial=1.2, lateral=1.6), rng, looks)


def homogeneous_medium(shape: tuple[int, int] = SHAPE) -> Medium:
    return Medium(*(np.zeros(shape, np.float32) for _ in range(3)))


def a_lesion(malignant: bool, seed: int) -> Lesion:
    lesion = draw_lesion(SHAPE, malignant, np.random.default_rng(seed))
    assert lesion is not None
    return lesion


def height_over_width(mask: np.ndarray) -> float:
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return height / width


def ring_around(mask: np.ndarray, pixels: int = 12) -> np.ndarray:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask


def files_below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Speckle


def test_one_look_has_the_rayleigh_signal_to_noise_ratio() -> None:
    gray = log_compress(homogeneous_envelope(looks=1), -20.0, dynamic_range_db=80.0)
    envelope = 10 ** ((gray[gray > 0].astype(float) / 255 - 1) * 80 / 20)
    assert envelope.mean() / envelope.std() == pytest.approx(RAYLEIGH_SNR, rel=0.03)


def test_one_look_has_rayleigh_quantiles() -> None:
    envelope = homogeneous_envelope(looks=1)
    levels = np.array([0.1, 0.5, 0.9, 0.99])
    expected = np.sqrt(-np.log(1 - levels))
    np.testing.assert_allclose(np.quantile(envelope, levels), expected, rtol=0.04)


def test_compounding_raises_the_signal_to_noise_ratio_by_the_root_of_the_looks() -> None:
    envelope = homogeneous_envelope(looks=4)
    assert envelope.mean() / envelope.std() == pytest.approx(2 * RAYLEIGH_SNR, rel=0.05)


def test_widening_of_the_beam_does_not_change_the_brightness() -> None:
    power = homogeneous_envelope(looks=1) ** 2
    for band in np.array_split(power, 4):
        assert band.mean() == pytest.approx(1.0, abs=0.06)


def test_speckle_is_wider_off_the_focus() -> None:
    envelope = homogeneous_envelope(looks=1)
    likeness = [np.corrcoef(row[:-3], row[3:])[0, 1] for row in envelope]
    assert np.mean(likeness[-60:]) > np.mean(likeness[130:190]) + 0.1


def test_smooth_reflector_keeps_its_amplitude() -> None:
    nothing, reflector = np.zeros((64, 64), np.float32), np.full((64, 64), 2.5, np.float32)
    envelope = speckle_envelope(nothing, reflector, PointSpread(1.0, 1.5), np.random.default_rng(0))
    np.testing.assert_allclose(envelope, 2.5, rtol=1e-4)


def test_log_compression_maps_the_dynamic_range_to_gray() -> None:
    envelope = np.array([[1.0, 10 ** (-25 / 20), 10 ** (-50 / 20), 0.0, 100.0]], np.float32)
    assert log_compress(envelope, 0.0, 50.0).tolist() == [[255, 128, 0, 0, 255]]
    assert log_compress(envelope, -25.0, 50.0)[0, 0] == 128


# Images


@pytest.mark.parametrize("label", CLASS_NAMES)
def test_same_seed_same_bytes(label: str) -> None:
    first, again, other = make_phantom(label, 3), make_phantom(label, 3), make_phantom(label, 4)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.lesion_masks.tobytes() == again.lesion_masks.tobytes()
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("size", [(64, 64), (64, 640), (301, 77), (200, 333)])
@pytest.mark.parametrize("label", CLASS_NAMES)
def test_any_size(label: str, size: tuple[int, int]) -> None:
    for seed in range(3):
        made = make_phantom(label, seed, size)
        assert made.image.shape == made.mask.shape == size
        assert (made.image.dtype, made.mask.dtype) == (np.uint8, np.bool_)
        assert made.mask.any() == (label != "normal")


def test_normal_has_an_empty_mask(phantoms: dict[str, list[Phantom]]) -> None:
    assert all(made.lesion_masks.shape == (0, *SHAPE) and not made.mask.any() for made in phantoms["normal"])


def test_benign_is_wider_than_tall_and_malignant_taller_than_wide() -> None:
    benign = [height_over_width(a_lesion(False, seed).mask) for seed in range(40)]
    malignant = [height_over_width(a_lesion(True, seed).mask) for seed in range(40)]
    assert max(benign) < 0.9
    assert min(malignant) > 1.0


def test_malignant_outline_is_less_convex_than_benign() -> None:
    def solidity(malignant: bool, seed: int) -> float:
        contours, _ = cv2.findContours(a_lesion(malignant, seed).mask.astype(np.uint8), 0, 2)
        return cv2.contourArea(contours[0]) / cv2.contourArea(cv2.convexHull(contours[0]))

    assert np.mean([solidity(False, seed) for seed in range(20)]) > 0.95
    assert np.mean([solidity(True, seed) for seed in range(20)]) < 0.9


def test_areas_are_in_the_range_of_busi() -> None:
    for malignant, low, high in ((False, 0.03, 0.09), (True, 0.07, 0.16)):
        areas = [a_lesion(malignant, seed).mask.mean() for seed in range(40)]
        assert 0.8 * MIN_AREA < min(areas) <= max(areas) < 1.1 * MAX_AREA
        assert low < np.median(areas) < high


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_lesion_is_darker_than_its_surroundings(phantoms: dict[str, list[Phantom]], label: str) -> None:
    ratios = [made.image[made.mask].mean() / made.image[ring_around(made.mask)].mean() for made in phantoms[label]]
    assert np.mean(ratios) < 0.7
    assert np.mean(np.array(ratios) < 1) > 0.9


@pytest.mark.parametrize(("malignant", "low", "high"), [(False, -11, -2), (True, 3, 14)])
def test_beam_behind_the_lesion_is_enhanced_or_shadowed(malignant: bool, low: float, high: float) -> None:
    for seed in range(10):
        lesion, medium = a_lesion(malignant, seed), homogeneous_medium()
        add_lesion(medium, lesion, np.random.default_rng(seed))
        middle = int(np.nonzero(lesion.mask)[1].mean())
        assert low < shadow_db(medium.loss_db, 2.0)[-1, middle] < high


def test_image_behind_the_lesion_is_brighter_if_benign_and_darker_if_malignant() -> None:
    def behind_minus_lateral(malignant: bool, seed: int) -> float:
        lesion, medium = a_lesion(malignant, seed), homogeneous_medium()
        add_lesion(medium, lesion, np.random.default_rng(seed))
        image = generation._scan(medium, np.random.default_rng(seed)).astype(float)
        rows, columns = np.nonzero(lesion.mask)
        band = image[rows.max() + 5 : rows.max() + 20]
        middle = slice(int(np.quantile(columns, 0.3)), int(np.quantile(columns, 0.7)) + 1)
        lateral = np.ones(SHAPE[1], bool)
        lateral[max(columns.min() - 8, 0) : columns.max() + 8] = False
        return float(band[:, middle].mean() - band[:, lateral].mean())

    assert np.mean([behind_minus_lateral(False, seed) for seed in range(10)]) > 10
    assert np.mean([behind_minus_lateral(True, seed) for seed in range(10)]) < -15


def test_malignant_has_an_echogenic_rim_and_benign_has_none() -> None:
    def rim_db(malignant: bool, seed: int) -> float:
        lesion, medium = a_lesion(malignant, seed), homogeneous_medium()
        add_lesion(medium, lesion, np.random.default_rng(seed))
        return float(medium.echo_db[(lesion.distance > 5) & (lesion.distance < 7)].mean())

    assert np.mean([rim_db(True, seed) for seed in range(10)]) > 0.5
    assert np.mean([rim_db(False, seed) for seed in range(10)]) == 0


def test_second_lesion_stays_clear_of_the_first() -> None:
    for seed in range(20):
        first = a_lesion(False, seed)
        second = draw_lesion(SHAPE, False, np.random.default_rng(seed + 100), occupied=first.mask)
        assert second is None or not (second.mask & first.mask).any()


def test_no_second_lesion_without_space() -> None:
    assert draw_lesion(SHAPE, False, np.random.default_rng(0), occupied=np.ones(SHAPE, bool)) is None


def test_images_are_neither_black_nor_burned_out(phantoms: dict[str, list[Phantom]]) -> None:
    for made in (made for group in phantoms.values() for made in group):
        assert 40 < made.image.mean() < 140
        assert (made.image == 255).mean() < 0.02


# Overlay


def test_captions_stay_clear_of_lesions() -> None:
    rng = np.random.default_rng(0)
    written = 0
    for seed in range(40):
        mask = a_lesion(bool(seed % 2), seed).mask
        image = np.zeros(SHAPE, np.uint8)
        written += draw_caption(image, mask, rng)
        assert not image[mask].any()
    assert written > 30


def test_caption_is_in_the_only_free_corner() -> None:
    mask = np.ones(SHAPE, bool)
    mask[200:, 80:] = False
    for seed in range(20):
        image = np.zeros(SHAPE, np.uint8)
        assert draw_caption(image, mask, np.random.default_rng(seed))
        assert image[~mask].any()
        assert not image[mask].any()


def test_no_caption_if_lesions_cover_every_corner() -> None:
    image = np.zeros(SHAPE, np.uint8)
    assert not draw_caption(image, np.ones(SHAPE, bool), np.random.default_rng(0))
    assert not image.any()


def test_calipers_are_on_the_lesion_and_do_not_change_the_mask() -> None:
    for seed in range(10):
        mask = a_lesion(True, seed).mask
        before, image = mask.copy(), np.zeros(SHAPE, np.uint8)
        draw_calipers(image, mask, np.random.default_rng(seed))
        assert image.any()
        assert not image[~mask & ~ring_around(mask, 20)].any()
        assert (mask == before).all()


def test_only_some_images_have_an_overlay(phantoms: dict[str, list[Phantom]]) -> None:
    every = [made for group in phantoms.values() for made in group]
    assert 0.08 < np.mean([made.has_caption for made in every]) < 0.45
    assert 0 < np.mean([made.has_calipers for made in every if made.label != "normal"]) < 0.4
    assert not any(made.has_calipers for made in phantoms["normal"])


# Files


def test_layout_of_busi(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "set", {"benign": 2, "normal": 1}, size=(80, 96), progress=False)
    files = files_below(tmp_path / "set")
    expected = {"benign/benign (1)", "benign/benign (2)", "normal/normal (1)"}
    assert {name for name in files if "_mask_1" not in name} == {
        stem + suffix for stem in expected for suffix in (".png", "_mask.png")
    }
    assert (tmp_path / "set" / "malignant").is_dir()
    image = cv2.imread(str(tmp_path / "set/benign/benign (1).png"), cv2.IMREAD_UNCHANGED)
    mask = cv2.imread(str(tmp_path / "set/benign/benign (1)_mask.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == mask.shape
    assert set(np.unique(mask)) == {0, 255}
    assert not cv2.imread(str(tmp_path / "set/normal/normal (1)_mask.png"), cv2.IMREAD_UNCHANGED).any()


def test_each_lesion_has_its_own_mask_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "SECOND_LESION_RATE", 1.0)
    write_phantoms(tmp_path, {"benign": 4}, size=(96, 96), progress=False)
    seconds = sorted(tmp_path.glob("benign/*_mask_1.png"))
    assert seconds
    for path in seconds:
        second = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        first = cv2.imread(str(path).replace("_mask_1", "_mask"), cv2.IMREAD_UNCHANGED)
        assert second.any()
        assert not ((first > 0) & (second > 0)).any()


def test_files_do_not_depend_on_the_other_counts(tmp_path: Path) -> None:
    few, many, other = ({"malignant": 1}, {"benign": 1, "malignant": 2}, {"malignant": 1})
    for name, counts, seed in (("few", few, 5), ("many", many, 5), ("other", other, 6)):
        write_phantoms(tmp_path / name, counts, seed=seed, size=(72, 72), progress=False)
    first = files_below(tmp_path / "few")
    assert first.items() <= files_below(tmp_path / "many").items()
    assert first.items().isdisjoint(files_below(tmp_path / "other").items())


def test_sizes_vary_only_if_requested(tmp_path: Path) -> None:
    for name, vary in (("varied", True), ("fixed", False)):
        write_phantoms(tmp_path / name, {"normal": 4}, size=(100, 120), progress=False, vary_size=vary)
    varied, fixed = (
        {cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in (tmp_path / name).rglob("*).png")}
        for name in ("varied", "fixed")
    )
    assert fixed == {(100, 120)}
    assert len(varied) > 1
    assert all(80 <= height <= 120 and 96 <= width <= 144 for height, width in varied)


def test_failed_write_leaves_no_incomplete_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generation.os, "replace", no_space)
    message = f"{re.escape(str(tmp_path))} could not be written: the disk is full; free some space and run the comm"
    with pytest.raises(DiskFullError, match=message):
        write_phantoms(tmp_path, {"normal": 1}, size=(64, 64), progress=False)
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_half_of_a_dataset_is_not_left_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    written: list[Path] = []
    write = generation._write_png

    def write_three(path: Path, image: Uint8Image) -> None:
        if len(written) == 3:
            raise stop
        written.append(path)
        write(path, image)

    monkeypatch.setattr(generation, "_write_png", write_three)
    with pytest.raises((DiskFullError, KeyboardInterrupt, MemoryError)):
        write_phantoms(tmp_path / "set", {"normal": 3}, size=(64, 64), progress=False)
    assert len(written) == 3
    assert files_below(tmp_path) == {}
    monkeypatch.undo()
    write_phantoms(tmp_path / "set", {"normal": 3}, size=(64, 64), progress=False)
    assert len(files_below(tmp_path)) == 6


def test_the_rest_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    rest = tmp_path / ".unfinished.999999.tmp" / "benign"
    rest.mkdir(parents=True)
    write_phantoms(tmp_path, {"normal": 1}, size=(64, 64), progress=False)
    assert {Path(path).parts[0] for path in files_below(tmp_path)} == {"normal"}


# Errors


def test_unknown_label_is_refused() -> None:
    with pytest.raises(InputError, match="unknown label 'cyst': use one of benign, malignant, normal"):
        make_phantom("cyst", 0)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed is -1: expected 0 or more"):
        make_phantom("benign", -1)


def test_small_size_is_refused() -> None:
    with pytest.raises(InputError, match="size 63x256 is too small: height and width must be 64 or more"):
        make_phantom("benign", 0, (63, 256))


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ({"cyst": 1}, {}, "unknown label 'cyst': use one of benign, malignant, normal"),
        ({"benign": -2}, {}, r"counts\['benign'\] is -2: expected 0 or more images"),
        ({"benign": 1}, {"seed": -1}, "seed is -1: expected 0 or more"),
        ({"benign": 1}, {"size": (256, 32)}, "size 256x32 is too small"),
        ({"benign": 1}, {"size": (1_000_000, 1_000_000)}, "size 1000000x1000000 is too large: the limit is 50000000"),
        ({"benign": 1}, {"size": (64, 800_000)}, "size 64x800000 is too large"),
        ({"benign": 1}, {"size": (7_072, 7_072)}, "size 7072x7072 is too large"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, counts: dict[str, int], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_phantoms(tmp_path / "set", counts, progress=False, **options)
    assert not (tmp_path / "set").exists()


def test_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty, .*: choose a new or empty folder"):
        write_phantoms(tmp_path, {"benign": 1}, progress=False)
    assert files_below(tmp_path) == {"mine.txt": b"mine"}


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file, not a folder: choose a new or empty folder"):
        write_phantoms(tmp_path / "file", {"benign": 1}, progress=False)
