"""Hooks of mkdocs: pages made from files outside docs/, and links to files that are not on the site.

The changelog, the guide for contributors and the list of released networks have their places at the top of the
repository and in ``checkpoints/``. They become pages of the site without a second copy. A link of any page that leads
out of ``docs/`` leads to such a page, or becomes plain text.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.site.outside_pages import PAGES_FROM_FILES, address_readers, read_page

_PAGES_BY_FILE = {**{path: page for page, path in PAGES_FROM_FILES.items()}, "README.md": "index.md"}
_DOCS = "docs/"
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_DIAGRAM = re.compile(r'<p><img alt="[^"]*" src="(diagrams/[\w-]+\.svg)" ?/?></p>')
_PAGE_ADDRESS = re.compile(r'href="((?![a-z]+:)[^"#]+\.(?:md|ipynb))(?=["#])')
_CELL = re.compile(r"<t[dh]\b.*?</t[dh]>", re.DOTALL)
_TEXT = re.compile(r">[^<]+")
# Its warnings end a strict build.
_LOG = logging.getLogger("mkdocs.hooks")
_MERMAID = re.compile(r'<script type="module">(?:(?!</script>).)*mermaid(?:(?!</script>).)*</script>', re.DOTALL)
_LOADING_TAG = re.compile(r"<(?:script|link|img|iframe|source|video|audio|embed|object|use)\b[^>]*>", re.IGNORECASE)
_ADDRESS = re.compile(r"""\b(?:src|href|srcset|data)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""", re.IGNORECASE)
_SCRIPT_OR_STYLE = re.compile(r"<(?:script|style)\b[^>]*>(.*?)</(?:script|style)>", re.DOTALL | re.IGNORECASE)
_IMPORT = re.compile(r"""(?:import\s*\(?|url\()\s*["']?((?:https?:)?//[^"'\s)]+)""")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from files outside ``docs/``."""
    for page in PAGES_FROM_FILES:
        files.append(File.generated(config, page, content=read_page(page)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links of a page that lead to files outside ``docs/``, and address readers of the site."""
    name = page.file.src_uri
    if name in PAGES_FROM_FILES:
        markdown = address_readers(markdown, str(page.title))
    return rewrite_links(markdown, name)


def on_page_content(html: str, page: Page, files: Files, **_: Any) -> str:
    """Put diagrams into the page, whose colors they then follow, lead the links of notebooks to pages, break names."""
    folder = Path(page.file.abs_src_path or "").parent

    def inline(match: re.Match[str]) -> str:
        return f'<div class="scrolled">{(folder / match[1]).read_text(encoding="utf-8")}</div>'

    html = break_names(_DIAGRAM.sub(inline, html))
    return _link_pages(html, page.file, files) if page.file.src_uri.endswith(".ipynb") else html


def break_names(html: str) -> str:
    """Return a page whose tables may break names after an underscore or a slash, so that they are not too wide.

    Example:
        >>> break_names("<td><code>unet_a/b</code></td><p>a_b</p>")
        '<td><code>unet_<wbr>a/<wbr>b</code></td><p>a_b</p>'
    """

    def break_cell(cell: re.Match[str]) -> str:
        return _TEXT.sub(lambda text: re.sub(r"(?<=[_/])(?=\w)", "<wbr>", text[0]), cell[0])

    return _CELL.sub(break_cell, html)


def _link_pages(html: str, notebook: File, files: Files) -> str:
    """Lead the links of a notebook to pages; mkdocs does this for Markdown."""

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(notebook.src_uri), match[1]))
        target = files.get_file_from_path(path)
        if target is None:
            _LOG.warning("%s links to %s, which is not a page", notebook.src_uri, match[1])
            return match[0]
        return f'href="{target.url_relative_to(notebook)}'

    return _PAGE_ADDRESS.sub(replace, html)


def on_post_page(output: str, **_: Any) -> str:
    """Remove the script of notebooks that would load Mermaid from another host."""
    return _MERMAID.sub("", output)


def on_post_build(config: MkDocsConfig) -> None:
    """Check that no page of the built site loads anything from another host.

    Raises:
        PluginError: with the pages and addresses, which ends the build.
    """
    found = [
        f"{path.relative_to(config.site_dir)}: {address}"
        for path in sorted(Path(config.site_dir).rglob("*.html"))
        for address in foreign_resources(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError(f"the site loads from other hosts: {'; '.join(found)}")


def foreign_resources(html: str) -> list[str]:
    """List the addresses on other hosts from which a page loads scripts, styles, fonts, pictures or frames.

    Links that a reader follows are not listed.

    Example:
        >>> foreign_resources('<script src="https://cdn.org/a.js"></script><a href="https://acsnet.org">home</a>')
        ['https://cdn.org/a.js']
    """
    tags = _LOADING_TAG.findall(html)
    imports = [address for script in _SCRIPT_OR_STYLE.findall(html) for address in _IMPORT.findall(script)]
    return [address for tag in tags for address in _ADDRESS.findall(tag)] + imports


def rewrite_links(markdown: str, page: str) -> str:
    """Return a page whose links lead to pages of the site; links to other files of the repository become text.

    Args:
        markdown: the page.
        page: its path in ``docs/``.

    Example:
        >>> rewrite_links("[rules](../CONTRIBUTING.md#style), [code](../tools/train.py)", "design.md")
        '[rules](contributing.md#style), code'
    """
    source = PAGES_FROM_FILES.get(page, f"{_DOCS}{page}")

    def replace(match: re.Match[str]) -> str:
        text, address = match.groups()
        if re.match(r"[a-z]+:|#|/", address):
            return match[0]
        path, _, anchor = address.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        own = _PAGES_BY_FILE.get(target) or target.removeprefix(_DOCS)
        if own == target:
            return text
        # The anchors of README.md are not those of the page that takes its place.
        suffix = f"#{anchor}" if anchor and target != "README.md" else ""
        return f"[{text}]({posixpath.relpath(own, posixpath.dirname(page) or '.')}{suffix})"

    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [_LINK.sub(replace, markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(replace, markdown[end:])])
