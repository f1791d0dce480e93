"""Several files at once: what can be read is analyzed, and each other file becomes one sentence."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from acsnet._utils.printable import printable
from acsnet.app.analysis import Analysis, analyze
from acsnet.app.limits import check_files, check_size
from acsnet.app.networks import Network
from acsnet.data.spacing import Spacing
from acsnet.errors import AcsnetError


class Batch(NamedTuple):
    """The result of several files.

    Attributes:
        analyzed: the analyzed files, in order.
        problems: one sentence per file that could not be analyzed.
    """

    analyzed: tuple[Analysis, ...]
    problems: tuple[str, ...]


def analyze_files(
    network: Network,
    paths: Sequence[Path],
    progress: Callable[[int, int], None] = lambda done, total: None,
    spacing: Spacing | None = None,
) -> Batch:
    """Analyze files; those that cannot be read do not keep the others from it.

    Args:
        network: the network.
        paths: the files.
        progress: called with the number of finished files and that of all, before each file.
        spacing: millimeters per pixel, (vertical, horizontal), of all files, by default those that each declares.

    Raises:
        InputError: if there are no files, or too many.
    """
    check_files(paths)
    analyzed: list[Analysis] = []
    problems: list[str] = []
    for done, (path, name) in enumerate(zip(paths, unique_names(paths), strict=True)):
        progress(done, len(paths))
        try:
            check_size(path)
            analyzed.append(analyze(network, path, name, spacing=spacing))
        except AcsnetError as error:
            problems.append(explain(error, path, name))
    return Batch(tuple(analyzed), tuple(problems))


def explain(error: AcsnetError, path: Path, name: str) -> str:
    """Return an error as a sentence for the page, with the name of the file instead of its place on this machine."""
    return printable(str(error).replace(str(path), name).replace(f"{path.parent}/", ""))


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files, with a number behind those that came before.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.app.batch import unique_names
        >>> unique_names([Path("x/a.png"), Path("y/a.png"), Path("b.png")])
        ['a.png', 'a (2).png', 'b.png']
    """
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        seen[path.name] += 1
        number = seen[path.name]
        names.append(path.name if number == 1 else f"{path.stem} ({number}){path.suffix}")
    return names
