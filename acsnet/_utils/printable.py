"""Text for a terminal: no character of a name or a file acts on the terminal."""

import re
import unicodedata

# What Python makes of bytes that are not UTF-8 in names and files (the error handler surrogateescape).
_OTHER_BYTES = re.compile(r"[\udc80-\udcff]")
# The passwords of an address, user:PASSWORD@host and ?password=PASSWORD, or of a list of keys and values.
_PASSWORDS = (
    re.compile(r"(?<=://)([^:/?#\s@]*:)\S+(?=@)"),
    re.compile(r"(?i)(?:(?<=[?&\s])|^)([a-z_]*(?:password|passwd|pwd|token|secret)=)[^&\s]+"),
)


def printable(text: str) -> str:
    r"""Return text with escapes such as ``\x1b`` for every character that a terminal does not draw.

    These are control characters, which also begin the escape sequences of a terminal, line breaks, tabs, marks that
    reverse the direction of the text, and bytes that are not UTF-8.

    Example:
        >>> print(printable("a\x1b[31mb\nc\u202ed"))
        a\x1b[31mb\nc\u202ed
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def printable_lines(text: str, separator: str = "\n") -> str:
    r"""Return text of several lines, such as a table, with :func:`printable` lines.

    Args:
        text: the text.
        separator: the line break, with the indentation of the lines after the first.

    Example:
        >>> print(printable_lines("a\tb\nc"))
        a\tb
        c
    """
    return separator.join(map(printable, text.split(separator)))


def has_other_bytes(text: str) -> bool:
    r"""Return whether text, such as the name of a file, has bytes that are not UTF-8.

    Example:
        >>> has_other_bytes(b"caf\xe9".decode("utf-8", "surrogateescape")), has_other_bytes("caf\u00e9")
        (True, False)
    """
    return _OTHER_BYTES.search(text) is not None


def shorten(text: str, limit: int = 300) -> str:
    """Return text of at most ``limit`` characters: the middle of longer text is left out.

    Example:
        >>> shorten("a" * 10 + "b" * 10, 11)
        'aaa [...] b'
    """
    if len(text) <= limit:
        return text
    mark = " [...] "
    kept = limit - len(mark)
    return f"{text[: kept - kept // 3]}{mark}{text[len(text) - kept // 3 :]}"


def mask_passwords(text: str) -> str:
    """Return text with three stars for each password in an address.

    Example:
        >>> mask_passwords("postgresql+psycopg://me:secret@host/jobs?sslpassword=secret")
        'postgresql+psycopg://me:***@host/jobs?sslpassword=***'
    """
    for pattern in _PASSWORDS:
        text = pattern.sub(r"\1***", text)
    return text


def _escape(character: str) -> str:
    # Spaces of other widths are drawn, although Python does not count them as printable.
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
