"""Hooks of mkdocs: pages made from files outside docs/, and links to files that are not on the site.

The changelog, the guide for contributors and the list of released networks have their places at the top of the
repository and in ``checkpoints/``. They become pages of the site without a second copy. A link of any page that leads
out of ``docs/`` leads to such a page, or becomes plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[2]
#: Page of the site -> its file in the repository.
PAGES_FROM_FILES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "networks/released.md": "checkpoints/README.md",
}
_PAGES_BY_FILE = {**{path: page for page, path in PAGES_FROM_FILES.items()}, "README.md": "index.md"}
_DOCS = "docs/"
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
_DIAGRAM = re.compile(r'<p><img alt="[^"]*" src="(diagrams/[\w-]+\.svg)" ?/?></p>')
_MERMAID = re.compile(r'<script type="module">(?:(?!</script>).)*mermaid(?:(?!</script>).)*</script>', re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from files outside ``docs/``."""
    for page, path in PAGES_FROM_FILES.items():
        content = (REPOSITORY / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links of a page that lead to files outside ``docs/``."""
    return rewrite_links(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Put diagrams into the page, so that their colors follow those of the page."""
    folder = Path(page.file.abs_src_path or "").parent

    def inline(match: re.Match[str]) -> str:
        return f'<div class="scrolled">{(folder / match[1]).read_text(encoding="utf-8")}</div>'

    return _DIAGRAM.sub(inline, html)


def on_post_page(output: str, **_: Any) -> str:
    """Remove the script of notebooks that would load Mermaid from another host."""
    return _MERMAID.sub("", output)


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
