"""An extension of griffe that turns the docstrings of this package into the Markdown of the site.

Docstrings are Google style, with the roles of Sphinx for references. Roles become links, ``Example:`` becomes a section
of examples, and a paragraph that only announces a literal block (``::``) is removed.
"""

import re
from typing import Any

from griffe import Extension, NameResolutionError, Object

_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr|exc|obj):`(~?)([\w.]+)`")
_EXAMPLE = re.compile(r"^Example:[ ]*$", re.MULTILINE)
_LITERAL = re.compile(r"^::\n", re.MULTILINE)


class PlainMarkdown(Extension):
    """Rewrites each docstring when griffe has read its object."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        _rewrite(obj)

    def on_package(self, *, pkg: Object, **_: Any) -> None:
        """Rewrite the docstring of the package, which griffe does not call an object."""
        _rewrite(pkg)


def _rewrite(documented: Object) -> None:
    if documented.docstring is not None:
        documented.docstring.value = to_markdown(documented.docstring.value, documented)


def to_markdown(text: str, scope: Object) -> str:
    """Return a docstring as Markdown.

    Args:
        text: the docstring.
        scope: the object that it belongs to, in which short names are looked up.
    """
    text = _LITERAL.sub("", _EXAMPLE.sub("Examples:", text))
    return _ROLE.sub(lambda match: _link(match[2], bool(match[1]), scope), text)


def _link(name: str, is_short: bool, scope: Object) -> str:
    shown = name.rpartition(".")[2] if is_short else name
    # Optional: a private object has no place on the site.
    return f'<autoref optional identifier="{_resolve(name, scope)}"><code>{shown}</code></autoref>'


def _resolve(name: str, scope: Object) -> str:
    first, _, rest = name.partition(".")
    if first == "acsnet":
        return name
    try:
        found = scope.resolve(first)
    except NameResolutionError:
        return name
    return f"{found}.{rest}" if rest else found
