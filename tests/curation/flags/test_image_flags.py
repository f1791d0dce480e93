from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from acsnet.curation.findings import FLAG_DESCRIPTIONS, Box, CurationFlag
from acsnet.curation.flags.image import image_flags
from acsnet.data.images import UInt8Array, read_image
from acsnet.phantom import make_phantom

WHITE = (225, 225, 225)


def _scan(number: int, label: str = "benign", size: tuple[int, int] = (300, 400)) -> UInt8Array:
    """Return one of the phantoms without caption and calipers, as an RGB image."""
    return np.repeat(_clean(label, size)[number][:, :, None], 3, axis=2)


@cache
def _clean(label: str, size: tuple[int, int]) -> list[UInt8Array]:
    phantoms = [make_phantom(label, seed, size) for seed in range(10)]
    return [made.image for made in phantoms if not made.has_caption and not made.has_calipers]


def _only(image: UInt8Array, kind: str) -> CurationFlag:
    flags = image_flags(image)
    assert [flag.kind for flag in flags] == [kind]
    return flags[0]


def _covers(outer: Box, inner: Box, slack: int = 3) -> bool:
    corners = zip(outer[:2], inner[:2], strict=True), zip(inner[2:], outer[2:], strict=True)
    return all(a <= b + slack for pairs in corners for a, b in pairs)


def _write(image: UInt8Array, text: str, place: tuple[int, int], bold: bool = False) -> Box:
    """Write text at its top left corner, and return its box; the letters of OpenCV differ between versions."""
    letters = Image.fromarray(image)
    font, stroke = ImageFont.load_default(16), int(bold)
    ImageDraw.Draw(letters).text(place, text, WHITE, font, stroke_width=stroke, stroke_fill=WHITE)
    rows, columns = np.nonzero((np.asarray(letters) != image).any(axis=2))
    image[:] = np.asarray(letters)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("label", ["benign", "malignant", "normal"])
@pytest.mark.parametrize("size", [(64, 64), (256, 256), (400, 520)])
def test_clean_scans_have_no_flag(label: str, size: tuple[int, int]) -> None:
    for number in range(4):
        assert image_flags(_scan(number, label, size)) == ()


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_text(bold: bool, number: int) -> None:
    image = _scan(number)
    drawn = _write(image, "RT AXILLA", (60, 204), bold=bold)
    flag = _only(image, "text")
    assert "corner" not in flag.detail
    left, top, right, bottom = np.array(flag.boxes).T
    found = (int(left.min()), int(top.min()), int(right.max()), int(bottom.max()))
    assert _covers(drawn, found, slack=5)
    assert _covers(found, drawn, slack=5)


def test_text_over_a_bright_band() -> None:
    image = _scan(0)
    cv2.rectangle(image, (40, 190), (240, 240), (150, 150, 150), -1)
    image = cv2.GaussianBlur(image, (9, 9), 0)
    assert image_flags(image) == ()
    cv2.putText(image, "LT UOQ", (60, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.6, WHITE, 2)
    _only(image, "text")


def test_text_in_two_places_is_one_flag_sorted_from_the_top() -> None:
    image = _scan(0)
    _write(image, "LEFT", (60, 246))
    _write(image, "UOQ", (200, 46))
    flag = _only(image, "text")
    assert flag.detail == "3 characters, 4 characters"
    assert [box[1] > 150 for box in flag.boxes] == [False, True]


def test_a_logo_in_a_corner_is_distinguished_from_a_caption() -> None:
    image = _scan(0)
    image[:16, :28] = 0
    for letter, left in (("I", 0), ("Q", 12)):
        cv2.putText(image, letter, (left, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WHITE, 1)
    assert _only(image, "text").detail.endswith("in a corner")


def test_one_character_is_not_text() -> None:
    image = _scan(0)
    cv2.putText(image, "7", (60, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.6, WHITE, 2)
    assert image_flags(image) == ()


def test_distant_characters_are_not_text() -> None:
    image = _scan(0)
    for place in ((60, 220), (160, 120), (260, 240)):
        cv2.putText(image, "7", place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, WHITE, 2)
    assert image_flags(image) == ()


@pytest.mark.parametrize("marker", [cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS])
@pytest.mark.parametrize("side", [9, 15])
def test_calipers(marker: int, side: int) -> None:
    image, ends = _scan(0), ((100, 90), (220, 110))
    for end in ends:
        cv2.drawMarker(image, end, WHITE, marker, side, 1)
    flag = _only(image, "calipers")
    assert flag.detail == "2 crosses"
    half = side // 2
    for (x, y), box in zip(ends, flag.boxes, strict=True):
        assert np.abs(np.array(box) - (x - half, y - half, x + half + 1, y + half + 1)).max() <= 2


def test_calipers_with_their_dotted_lines_and_numbers() -> None:
    image, (start, end) = _scan(0), ((100, 90), (220, 110))
    for share in np.linspace(0, 1, 25):
        x, y = np.rint(np.array(start) * (1 - share) + np.array(end) * share).astype(int)
        image[y : y + 2, x : x + 2] = WHITE
    for place, number in ((start, "1"), (end, "2")):
        cv2.drawMarker(image, place, WHITE, cv2.MARKER_CROSS, 15, 2)
        cv2.putText(image, number, (place[0] - 16, place[1] - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE, 1)
    assert _only(image, "calipers").detail == "2 crosses"


def test_one_upright_cross_is_enough_and_one_slanting_is_not() -> None:
    upright, slanting = _scan(0), _scan(0)
    cv2.drawMarker(upright, (100, 90), WHITE, cv2.MARKER_CROSS, 15, 1)
    cv2.drawMarker(slanting, (100, 90), WHITE, cv2.MARKER_TILTED_CROSS, 15, 1)
    assert _only(upright, "calipers").detail == "1 cross"
    assert image_flags(slanting) == ()


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_corner_is_not_a_cross(corner: tuple[int, int]) -> None:
    image = _scan(0)
    cv2.line(image, (100, 90 + 14 * corner[0]), (114, 90 + 14 * corner[0]), WHITE, 1)
    cv2.line(image, (100 + 14 * corner[1], 90), (100 + 14 * corner[1], 104), WHITE, 1)
    assert image_flags(image) == ()


def test_letters_with_crosses_are_not_calipers() -> None:
    image = _scan(0)
    cv2.putText(image, "XRAX TAXI", (60, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.8, WHITE, 1)
    _only(image, "text")


def test_bright_speckle_and_a_bright_edge_are_not_marks() -> None:
    image = _scan(0)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(20, 280, (60, 2)):
        cv2.circle(image, (int(x), int(y)), 2, (235, 235, 235), -1)
    cv2.ellipse(image, (200, 150), (70, 40), 0, 0, 360, (235, 235, 235), 2)
    image = cv2.GaussianBlur(image, (3, 3), 0)
    assert image_flags(image) == ()


def test_color() -> None:
    image = _scan(0)
    cv2.ellipse(image, (200, 150), (20, 10), 0, 0, 360, (200, 30, 20), -1)
    cv2.rectangle(image, (20, 20), (39, 29), (20, 40, 220), -1)
    flag = _only(cv2.GaussianBlur(image, (5, 5), 0), "color")
    assert len(flag.boxes) == 2
    assert _covers(flag.boxes[0], (20, 20, 40, 30))
    assert _covers(flag.boxes[1], (180, 140, 221, 161))
    # 200 pixels of the rectangle and about 650 of the ellipse.
    assert 0.6 <= float(flag.detail.split("%")[0].removeprefix("color on ")) <= 1


def test_colored_text_is_text_and_color() -> None:
    image = _scan(0)
    cv2.putText(image, "LT UOQ", (60, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 0), 2)
    assert [flag.kind for flag in image_flags(image)] == ["text", "color"]


def test_a_tint_of_the_whole_image_is_not_color() -> None:
    tinted = (_scan(0) * np.array([1.0, 0.9, 0.7])).astype(np.uint8)
    assert int(tinted[:, :, 0].max()) - int(tinted[:, :, 2].max()) > 40
    assert image_flags(tinted) == ()
    cv2.rectangle(tinted, (20, 20), (39, 29), (20, 40, 220), -1)
    assert _only(tinted, "color").boxes == ((20, 20, 40, 30),)


def test_split_screen() -> None:
    image = np.concatenate([_scan(0, size=(300, 200)), _scan(1, size=(300, 220))], axis=1)
    flag = _only(image, "split-screen")
    assert flag.detail == "seam at column 200"
    assert flag.boxes == ((199, 0, 201, 300),)


@pytest.mark.parametrize("gray", [0, 255])
def test_split_screen_with_a_divider(gray: int) -> None:
    divider = np.full((300, 8, 3), gray, dtype=np.uint8)
    image = np.concatenate([_scan(0, size=(300, 200)), divider, _scan(1, size=(300, 200))], axis=1)
    assert _only(image, "split-screen").detail in ("seam at column 200", "seam at column 208")


def test_a_black_margin_is_not_a_second_scan() -> None:
    image = _scan(0, size=(300, 200))
    assert image_flags(np.concatenate([image, np.zeros((300, 180, 3), dtype=np.uint8)], axis=1)) == ()


def test_a_vertical_line_over_part_of_the_height_is_not_a_seam() -> None:
    image = _scan(0)
    cv2.line(image, (200, 20), (200, 190), WHITE, 1)
    assert image_flags(image) == ()


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 5), (39, 39)])
def test_tiny_and_empty_images(size: tuple[int, int]) -> None:
    assert image_flags(np.zeros((*size, 3), dtype=np.uint8)) == ()


def test_every_kind_has_a_description() -> None:
    assert {"text", "calipers", "color", "split-screen"} <= set(FLAG_DESCRIPTIONS)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("benign (52)", {"text"}),
        ("benign (235)", {"text"}),
        ("normal (121)", {"text"}),
        ("benign (123)", {"calipers"}),
        ("malignant (122)", {"calipers"}),
        ("malignant (15)", {"text", "calipers"}),
        ("benign (255)", {"text", "color"}),
        ("malignant (196)", {"color"}),
        ("benign (6)", {"calipers", "color"}),
        ("benign (124)", set()),
        ("benign (179)", set()),
        ("malignant (32)", set()),
        ("malignant (94)", set()),
        ("normal (20)", set()),
        ("normal (72)", set()),
    ],
)
def test_real_images(busi_root: Path, name: str, kinds: set[str]) -> None:
    image = read_image(busi_root / name.split()[0] / f"{name}.png")
    flags = image_flags(image)
    # The rest of a logo in the corner of most images is text if it is readable.
    seen = {flag.kind for flag in flags if not all(part.endswith("corner") for part in flag.detail.split(", "))}
    assert seen == kinds
