"""The diagrams and tables of the pages of networks: python -m scripts.networks --write|--check."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from acsnet._utils.files import replace_sections
from acsnet._utils.tables import Table
from acsnet.checkpoints import read_index
from acsnet.cli import run
from acsnet.models import list_models
from scripts.networks.catalog import NETWORKS
from scripts.networks.diagram import draw
from scripts.networks.stages import Shape, find_shapes
from scripts.pages import REPOSITORY, write_or_check
from scripts.release.readme import released_table

FOLDER = REPOSITORY / "docs" / "networks"
DIAGRAMS = FOLDER / "diagrams"
RELEASED_PAGE = "../../checkpoints/README.md"
#: Page -> the networks whose shapes it shows, and patterns of the names of its networks in the zoo.
PAGES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "acsnet": (["acsnet"], ["acsnet"]),
    "pairs": (
        ["pair_unet", "pair_unetpp", "pair_fpn", "pair_deeplabv3plus", "two_networks"],
        ["unet_*", "unetpp_*", "fpn_*", "deeplabv3plus_*", "two_networks"],
    ),
    "prediction-refining": (["mt_unetpp", "mt_nnunet"], ["mt_*"]),
    "unet-family": (
        ["unet", "gated_unet", "unetpp", "efficientnet_cbam"],
        ["unet", "gated_unet", "unetpp", "unetpp_refined", "unetpp_lesion_weighted", "efficientnet_cbam"],
    ),
}
_STUDY = ("unetpp_refined", "unetpp_lesion_weighted")


def main() -> None:
    """Parse the command line, then write or check the diagrams and tables."""
    write_or_check("scripts.networks", "the diagrams and tables of the pages of networks", files())


def files() -> dict[Path, Callable[[], str]]:
    """Return the function that makes each file, diagrams first."""
    made: dict[Path, Callable[[], str]] = {DIAGRAMS / f"{key}.svg": partial(_diagram, key) for key in NETWORKS}
    return made | {FOLDER / f"{page}.md": partial(_page, page) for page in PAGES}


def networks_of(page: str) -> set[str]:
    """Return the names in the zoo of the networks of a page."""
    names = {name for pattern in PAGES[page][1] for name in list_models(pattern)}
    return names if page == "unet-family" else names - {*_STUDY}


@cache
def _measured(key: str) -> tuple[dict[str, Shape], int]:
    return find_shapes(NETWORKS[key])


def _diagram(key: str) -> str:
    return draw(NETWORKS[key], _measured(key)[0])


def _page(page: str) -> str:
    texts: dict[str, Callable[[], str]] = {f"shapes_{key}": partial(_shapes, key) for key in PAGES[page][0]}
    return replace_sections(FOLDER / f"{page}.md", texts | {"released_networks": partial(_released, page)})


def _shapes(key: str) -> str:
    network, (shapes, total) = NETWORKS[key], _measured(key)
    rows = [("stage", "what it does", "output", "parameters")]
    for stage in network.stages:
        shape = shapes[stage.name]
        parameters = "" if shape.parameters is None else f"{shape.parameters:,}"
        rows.append(
            (stage.name, stage.what, f"{shape.text} classes" if stage.kind == "class" else shape.text, parameters)
        )
    rows.append(("all", "", "", f"{total:,}"))
    table = Table.from_rows(rows, left=["what it does", "output"]).to_markdown()
    sizes = shapes["image"].text
    is_shared = network.key != "two_networks" and any(stage.index for stage in network.stages)
    shared = " The row of the first map has the parameters of the whole encoder." if is_shared else ""
    return f"Channels, height and width for an image of {sizes}, and three classes.{shared}\n\n{table}"


def _released(page: str) -> str:
    index = read_index()
    names = set(networks_of(page))
    own = {
        name: entry
        for name, entry in index.checkpoints.items()
        if names & {entry.model, *(member.model for member in entry.networks)}
    }
    if not own:
        return "None yet."
    return released_table(index.model_copy(update={"checkpoints": own}), RELEASED_PAGE)


if __name__ == "__main__":
    raise SystemExit(run(main))
