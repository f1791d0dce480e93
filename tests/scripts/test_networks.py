"""``python -m scripts.networks``: diagrams, tables of shapes, and the pages that show them."""

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

import acsnet
from acsnet.config import list_configs
from scripts.networks.__main__ import DIAGRAMS, FOLDER, PAGES, files, networks_of
from scripts.networks.catalog import NETWORKS
from scripts.networks.diagram import draw
from scripts.networks.stages import Network, Shape, Stage, find_shapes
from scripts.pages import check_fresh

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_diagrams_and_tables_are_fresh(path: Path) -> None:
    check_fresh(path, files()[path](), "scripts.networks")


@pytest.mark.parametrize("key", NETWORKS)
def test_the_stages_have_all_parameters_of_the_network(key: str) -> None:
    page = next(page for page, (keys, _) in PAGES.items() if key in keys)
    table = (FOLDER / f"{page}.md").read_text(encoding="utf-8").split(f"<!-- shapes_{key}:begin -->")[1]
    counts = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) \|$", table.split("<!--")[0], re.M)]
    *stages, total = counts
    assert sum(stages) == total > 0


@pytest.mark.parametrize("key", NETWORKS)
def test_a_diagram_has_a_box_per_stage_and_an_arrow_per_input(key: str) -> None:
    root = ElementTree.parse(DIAGRAMS / f"{key}.svg").getroot()
    stages = NETWORKS[key].stages
    assert [group.findall(f"{SVG}text")[0].text for group in root.findall(f"{SVG}g")] == [
        stage.name for stage in stages
    ]
    assert len(root.findall(f"{SVG}path")) == sum(len(stage.inputs) for stage in stages)
    assert {name for stage in stages for name in stage.inputs} < {stage.name for stage in stages}


def test_every_network_of_the_zoo_has_a_page() -> None:
    of_pages = [networks_of(page) for page in PAGES]
    assert set().union(*of_pages) == set(acsnet.list_models())
    assert sum(map(len, of_pages)) == len(acsnet.list_models()), "each network has one page"
    for page in PAGES:
        text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
        assert not [name for name in networks_of(page) if f'"{name}"' not in text and f"`{name}`" not in text]


def configurations(page: str) -> list[str]:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    rows = text.split("## Configurations")[1].split("\n## ")[0]
    return [name for row in re.findall(r"^\| (`.*?) \|", rows, re.M) for name in re.findall(r"`([^`]+)`", row)]


def test_every_configuration_of_a_training_is_on_a_page_and_exists() -> None:
    patterns = [pattern for page in PAGES for pattern in configurations(page)]
    missing = [pattern for pattern in patterns if not list_configs(pattern)]
    assert not missing
    trainings = [name for name in list_configs() if name != "searches/optimizer"]
    assert not [name for name in trainings if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def small(*stages: Stage) -> Network:
    image = Stage("image", "the image", "", 0, 0, kind="image")
    return Network("small", "Small & simple", "unet", 32, 1, [image, *stages])


def shapes_of(network: Network) -> Mapping[str, Shape]:
    return {stage.name: Shape((1, 2, 3), 4) for stage in network.stages}


def test_an_arrow_over_a_box_is_bent_and_all_text_is_escaped() -> None:
    first, second = Stage("a", "<b>", "a", 1, 0, ["image"]), Stage("c", "c", "c", 2, 0, ["image", "a"])
    network = small(first, second)
    text = draw(network, shapes_of(network))
    assert ElementTree.fromstring(text).get("aria-label") == "Diagram of Small & simple"
    assert "&lt;b&gt;" in text
    paths = [path.get("d", "") for path in ElementTree.fromstring(text).findall(f"{SVG}path")]
    assert ["Q" in path for path in paths] == [False, True, False]


@pytest.mark.parametrize(
    ("stages", "parameters"),
    [
        ([Stage("e", "e", "encoder.levels.0", 0, 0)], [None, 320 + 64]),
        ([Stage("e", "e", "encoder.levels.0", 0, 0, also=["seg_head"])], [None, 320 + 64 + 289]),
        ([Stage("e", "e", "encoder", 0, 0, index=1), Stage("f", "f", "encoder", 0, 0, index=2)], [None, 7805568, None]),
    ],
)
def test_parameters_are_counted_once(stages: list[Stage], parameters: list[int | None]) -> None:
    shapes, total = find_shapes(small(*stages))
    assert [shape.parameters for shape in shapes.values()] == parameters
    assert total == 11_704_196
    assert shapes["image"].text == "1\u00d732\u00d732"
