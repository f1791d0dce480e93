"""The documentation site: links, docstrings, navigation, notebooks, and nothing from other hosts.

``make docs``, which ``make test`` calls, builds the site without a warning.
"""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

nbformat = pytest.importorskip("nbformat", reason="needs the extra dev")
pytest.importorskip("mkdocs", reason="needs the extra docs")

from griffe import visit  # noqa: E402
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from scripts.gallery import CHECKPOINTS, FOLDER, draw_phantoms, grid, write_picture  # noqa: E402
from scripts.site.docstrings import to_markdown  # noqa: E402
from scripts.site.hooks import (  # noqa: E402
    PAGES_FROM_FILES,
    break_names,
    foreign_resources,
    on_page_content,
    on_post_page,
    rewrite_links,
)
from scripts.site.outside_pages import address_readers, read_page  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
MAX_OUTPUT = 150_000
# Rooms that a user of the library does not import.
PRIVATE_ROOMS = {"_utils", "app", "cli", "labels", "version", "__main__"}


class Tags(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags are functions of its plugins."""


Tags.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
CONFIG: dict[str, Any] = yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader=Tags)


CONFIG_OF_MKDOCS = MkDocsConfig()


def pages_in(entries: list[Any]) -> list[str]:
    values = [value for entry in entries for value in entry.values()]
    return [page for value in values for page in ([value] if isinstance(value, str) else pages_in(value))]


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("design.md", "[walk](../CONTRIBUTING.md#the-walk)", "[walk](contributing.md#the-walk)"),
        (
            "guides/data.md",
            "[a](../../CHANGELOG.md) and [b](../design.md#rooms)",
            "[a](../changelog.md) and [b](../design.md#rooms)",
        ),
        ("guides/data.md", "[code](../../acsnet/data/cache.py) [`c`](../../configs/acsnet_busi.yaml)", "code `c`"),
        ("networks/acsnet.md", "[name](../../checkpoints/README.md#acsnet_busi)", "[name](released.md#acsnet_busi)"),
        (
            "changelog.md",
            "[docs/design.md](docs/design.md), [it](https://a.org)",
            "[docs/design.md](design.md), [it](https://a.org)",
        ),
        ("networks/released.md", "[`a`](#a)", "[`a`](#a)"),
        ("design.md", "[start](../README.md#train)", "[start](index.md)"),
        (
            "design.md",
            "```text\n[a](../tools/a.py)\n```\n![p](../x.png)",
            "```text\n[a](../tools/a.py)\n```\n![p](../x.png)",
        ),
    ],
)
def test_links_out_of_the_site_lead_to_its_pages_or_become_text(page: str, text: str, expected: str) -> None:
    assert rewrite_links(text, page) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<link rel="stylesheet" href="https://fonts.org/a.css">', ["https://fonts.org/a.css"]),
        ("<script async src=//cdn.org/x.js></script>", ["//cdn.org/x.js"]),
        ('<img alt="a" src="http://a.org/b.png">', ["http://a.org/b.png"]),
        ('<script>await import("https://cdn.org/m.mjs")</script>', ["https://cdn.org/m.mjs"]),
        ("<style>@font-face{src:url(https://f.org/f.woff2)}</style>", ["https://f.org/f.woff2"]),
        ('<iframe src="https://a.org"></iframe>', ["https://a.org"]),
        ('<a href="https://a.org">a</a> <link href="assets/a.css"> <svg xmlns="http://www.w3.org/2000/svg"></svg>', []),
        ("<code>import https://a.org</code>", []),
    ],
)
def test_what_a_page_loads_from_other_hosts(html: str, expected: list[str]) -> None:
    assert foreign_resources(html) == expected


@pytest.mark.parametrize(
    ("html", "expected", "warnings"),
    [
        ('<a href="../guides/data.md#a">', '<a href="../guides/data.html#a">', 0),
        ('<a href="other.ipynb">', '<a href="other.html">', 0),
        ('<a href="https://a.org/b.md"> <a href="#a">', '<a href="https://a.org/b.md"> <a href="#a">', 0),
        ('<a href="../nothing.md">', '<a href="../nothing.md">', 1),
    ],
)
def test_links_of_notebooks_lead_to_pages(
    html: str, expected: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    files = [
        File(path, "docs", "site", use_directory_urls=False) for path in ("guides/data.md", "notebooks/other.ipynb")
    ]
    for file in files:
        file.url = file.url.replace(".ipynb", ".html")
    notebook = File("notebooks/one.ipynb", "docs", "site", use_directory_urls=False)
    page = Page("one", notebook, CONFIG_OF_MKDOCS)
    assert on_page_content(html, page, Files(files)) == expected
    assert len(caplog.records) == warnings


def test_a_diagram_is_put_into_its_page() -> None:
    file = File("networks/unet-family.md", str(DOCS), "site", use_directory_urls=False)
    html = on_page_content(
        '<p><img alt="U-Net" src="diagrams/unet.svg" /></p>', Page("u", file, CONFIG_OF_MKDOCS), Files([])
    )
    assert html.startswith('<div class="scrolled"><svg ')
    assert html.endswith("</svg>\n</div>")


def test_the_script_of_notebooks_that_loads_from_another_host_is_removed() -> None:
    script = '<script type="module">a; await import("https://cdn.org/mermaid.mjs")</script>'
    page = f'<script type="module">own()</script>{script}<p>mermaid</p><script>b()</script>'
    assert on_post_page(page) == '<script type="module">own()</script><p>mermaid</p><script>b()</script>'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<td><code>a_b</code></td>", "<td><code>a_<wbr>b</code></td>"),
        ('<td class="x_y">n: empty_mask</td>', '<td class="x_y">n: empty_<wbr>mask</td>'),
        (
            '<th><a href="a/b_c.html"><code>a/b</code></a></th>',
            '<th><a href="a/b_c.html"><code>a/<wbr>b</code></a></th>',
        ),
        ("<td>1 / 2</td><p>a_b</p><thead>c_d</thead>", "<td>1 / 2</td><p>a_b</p><thead>c_d</thead>"),
    ],
)
def test_names_in_cells_can_be_broken_but_not_addresses(html: str, expected: str) -> None:
    assert break_names(html) == expected


def cells_in_braces(markdown: str) -> list[str]:
    """The cells of tables that end in braces outside code, which the extension attr_list takes for attributes."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    rows = [line for line in text.splitlines() if line.lstrip().startswith("|")]
    cells = [cell for row in rows for cell in re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "code", row))]
    return [cell.strip() for cell in cells if re.search(r"\{[^{}]*\}\s*$", cell)]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("| a | folds: {count: 5, index: 0} | b |", ["folds: {count: 5, index: 0}"]),
        ("| loss: {x: 1}; y: [{z: 2}] | {a} |", ["{a}"]),
        ("| `one` {b: 2} |", ["code {b: 2}"]),
        ("| `folds: {count: 5}` | {a: 1} and more | `{b,c}_{d}` |", []),
        ("```text\n| {a} |\n```\nfolds: {count: 5}", []),
    ],
)
def test_cells_that_end_in_braces_are_found(markdown: str, expected: list[str]) -> None:
    assert cells_in_braces(markdown) == expected


def test_no_cell_loses_its_braces() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in [*DOCS.rglob("*.md"), REPOSITORY / "README.md"]}
    pages |= {Path(page): read_page(page) for page in PAGES_FROM_FILES}
    assert {str(path): cells for path, text in pages.items() if (cells := cells_in_braces(text))} == {}
    assert "attr_list" not in CONFIG["markdown_extensions"], "it removes {...} at the end of cells and headings"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Old\n\nGenerated from `a.json` by `python -m x`; do not edit. Text.", "# New\n\nText."),
        ("\n# Old\n\nThe files in this\nfolder, all in this folder.", "# New\n\nThe files, all in this folder."),
        ("# Old\n\n# Other\n\nIt was generated by hand; do not edit. Text.", None),
    ],
)
def test_pages_from_files_address_readers(text: str, expected: str | None) -> None:
    assert address_readers(text, "New") == (expected or text.replace("# Old", "# New"))


def test_released_networks_have_no_notes_for_maintainers() -> None:
    text = address_readers(read_page("networks/released.md").partition("---\n\n")[2], "Released networks")
    assert text.startswith("# Released networks\n")
    assert not re.search(r"do not edit|this\s+folder", text)


def named_pages(entries: list[Any]) -> list[tuple[str, str]]:
    pairs = [(name, value) for entry in entries for name, value in entry.items()]
    inner = [found for _, value in pairs if isinstance(value, list) for found in named_pages(value)]
    return [(name, value) for name, value in pairs if isinstance(value, str)] + inner


def heading(page: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        text = "".join(json.loads(text)["cells"][0]["source"])
    return re.findall(r"^# (.*)$", text, flags=re.MULTILINE)[0]


def test_pages_are_called_as_in_the_navigation() -> None:
    # Pages made from files get their titles from the navigation; the API and the home page have the names of packages.
    own = [(name, page) for name, page in named_pages(CONFIG["nav"]) if page not in PAGES_FROM_FILES]
    assert {page: (name, heading(page)) for name, page in own if heading(page) != name} == {
        page: (name, "acsnet" if page == "index.md" else f"acsnet.{name}")
        for name, page in own
        if page == "index.md" or (page.startswith("api/") and name != "acsnet")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See :func:`load`.", '<autoref optional identifier="m.load"><code>load</code></autoref>'),
        (
            "A :class:`~acsnet.models.ACSNet`.",
            '<autoref optional identifier="acsnet.models.ACSNet"><code>ACSNet</code>',
        ),
        ("See :meth:`torch.nn.Module.train`.", 'identifier="torch.nn.Module.train"'),
        ("First.\n\nExample:\n    >>> 1\n    1", "\nExamples:\n    >>> 1"),
        ("First.\n\n::\n\n    a -- b", "First.\n\n\n    a -- b"),
    ],
)
def test_docstrings_become_markdown(text: str, expected: str) -> None:
    module = visit("m", filepath=Path("m.py"), code="def load():\n    pass\n")
    assert expected in to_markdown(text, module)


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    listed = pages_in(CONFIG["nav"])
    assert len(listed) == len(set(listed))
    written = {path.relative_to(DOCS).as_posix() for path in [*DOCS.rglob("*.md"), *NOTEBOOKS]}
    assert not written - {*listed}, "add them to nav in mkdocs.yml"
    assert not {*PAGES_FROM_FILES} - {*listed}


def test_every_room_has_a_page_of_its_public_names() -> None:
    rooms = {path.name.removesuffix(".py") for path in (REPOSITORY / "acsnet").iterdir() if path.suffix in ("", ".py")}
    rooms -= {*PRIVATE_ROOMS, "__init__", "__pycache__", "py.typed"}
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")}
    assert {*pages} == rooms | {"acsnet"}
    for room in rooms:
        assert f"::: acsnet.{room}\n" in pages[room]


def test_nothing_of_the_theme_is_loaded_from_other_hosts() -> None:
    assert CONFIG["theme"]["font"] is False
    assert CONFIG["strict"] is True
    (build,) = re.findall(r"-m mkdocs build (.*)", (REPOSITORY / "Makefile").read_text())
    assert build == "--strict", "--quiet hides warnings from --strict"
    assert [choice["scheme"] for choice in CONFIG["theme"]["palette"]] == ["default", "slate"]
    assert "site/" in (REPOSITORY / ".gitignore").read_text()


def test_the_gallery_shows_all_its_pictures(tmp_path: Path) -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shown = {*re.findall(r"pictures/([\w.]+)\)", text)}
    assert shown == {"phantoms.jpg", "augmentation.jpg", *(f"{name}.jpg" for name in CHECKPOINTS)}
    files = [path for path in FOLDER.iterdir() if path.suffix == ".jpg"]
    assert shown <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) < 1_500_000
    picture = draw_phantoms(count=1)
    write_picture(tmp_path / "a.jpg", picture)
    assert (tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"
    panel = picture[:10, :20]
    assert grid([[panel, panel], [panel, panel]]).shape == (24, 44, 3)


def code_of(notebook: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_small_and_imports_what_exists(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert len(str([cell.get("outputs") for cell in notebook.cells])) < MAX_OUTPUT
    assert not re.search(r"/(work|root|home|tmp)\b", path.read_text(encoding="utf-8"))
    names = [
        (node.module, alias.name)
        for code in code_of(path)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    assert names
    assert not [name for module, name in names if not hasattr(importlib.import_module(module), name)]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    NotebookClient(nbformat.read(path, 4), timeout=300, kernel_name="python3").execute()
