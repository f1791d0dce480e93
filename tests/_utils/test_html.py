import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure
from PIL import Image

from acsnet._utils.html import _environment, count, decimal, inline_jpeg, inline_plot, percent, render
from acsnet.errors import InputError
from acsnet.version import __version__

REPOSITORY = Path(__file__).resolve().parents[2]


def content(address: str, kind: str) -> bytes:
    start = f"data:{kind};base64,"
    assert address.startswith(start)
    return base64.b64decode(address.removeprefix(start), validate=True)


def test_a_picture_keeps_its_size_and_colors() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (220, 30, 10)
    decoded = np.asarray(Image.open(io.BytesIO(content(inline_jpeg(image, quality=95), "image/jpeg"))))
    assert decoded.shape == image.shape
    assert np.abs(decoded[20, 10].astype(int) - (220, 30, 10)).max() < 12
    assert decoded[20, 50].max() < 12


def test_less_quality_is_fewer_bytes() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert len(inline_jpeg(image, quality=20)) < len(inline_jpeg(image, quality=90))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"\(H, W, 3\) of uint8 with pixels, got \("):
        inline_jpeg(image)


def test_a_plot_needs_neither_fonts_nor_addresses() -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().set_title("width")
    drawing = content(inline_plot(figure), "image/svg+xml").decode()
    root = ElementTree.fromstring(drawing)
    assert root.tag.endswith("svg")
    assert root.get("width") == "144pt"
    assert "<text" not in drawing
    assert not [value for node in root.iter() for key, value in node.items() if "href" in key and value[0] != "#"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.1234), "12.3 %"),
        (percent(1.0, 0), "100 %"),
        (percent(float("nan")), "–"),  # noqa: RUF001
        (percent(None), "–"),  # noqa: RUF001
        (decimal(0.98765), "0.988"),
        (decimal(float("nan")), "–"),  # noqa: RUF001
        (decimal(None, 1), "–"),  # noqa: RUF001
        (count(1234567), "1,234,567"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


def test_the_base_page_names_its_version() -> None:
    page = render("base.html")
    assert page.startswith("<!DOCTYPE html>")
    assert f"Written by acsnet {__version__}." in page


def test_a_page_fetches_nothing() -> None:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}' in render("base.html")


def test_data_files_belong_to_the_package() -> None:
    package = REPOSITORY / "acsnet"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    others = {path.relative_to(package).as_posix() for path in files if path.parent.name != "templates"}
    assert others == {"py.typed", "report/published.yaml"}
    declared = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert '\nacsnet = ["py.typed"]\n"acsnet._utils" = ["templates/*"]\n' in declared
    assert '"acsnet.report" = ["published.yaml"]\n' in declared


def test_values_are_escaped_and_missing_ones_are_errors() -> None:
    template = _environment().from_string("{{ value }}")
    assert template.render(value="<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(UndefinedError, match="'value' is undefined"):
        template.render()


def blocks(style: str, start: str) -> list[str]:
    """The content of each block of a style that begins with a text, by counting braces."""
    found = []
    for match in re.finditer(re.escape(start) + r"[^{]*\{", style):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(style[end], 0)
            end += 1
        found.append(style[match.end() : end - 1])
    return found


STYLE = (REPOSITORY / "acsnet" / "_utils" / "templates" / "page.css").read_text(encoding="utf-8")


def test_the_dark_style_has_every_color() -> None:
    light = set(re.findall(r"(--[a-z-]+): #", blocks(STYLE, ":root")[0]))
    [dark] = blocks(STYLE, "@media screen and (prefers-color-scheme: dark)")
    # The line of a flag is amber on both grounds.
    assert set(re.findall(r"(--[a-z-]+): #", blocks(dark, ":root")[0])) == light - {"--flag"}
    assert "prefers-color-scheme" not in STYLE.replace("@media screen and (prefers-color-scheme: dark)", "")
    assert {*re.findall(r"var\((--[a-z-]+)\)", STYLE)} <= {*light, "--side"}
    assert blocks(dark, ".drawing img, .label i")[0].strip().startswith("filter: invert"), "plots are no white boxes"


def test_colors_have_names_so_that_the_dark_style_reaches_them() -> None:
    [dark] = blocks(STYLE, "@media screen and (prefers-color-scheme: dark)")
    rest = STYLE.replace(blocks(STYLE, ":root")[0], "").replace(dark, "")
    # The ring of the focus, and the ground of pictures.
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rest)) == {"#3d94b8", "#000"}


@pytest.mark.parametrize(
    "rule", [".scroll { overflow: visible; }", "tr { break-inside: avoid; }", "a { text-decoration: underline; }"]
)
def test_the_print_style(rule: str) -> None:
    [printed] = blocks(STYLE, "@media print")
    assert rule in printed
