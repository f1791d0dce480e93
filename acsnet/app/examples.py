"""Examples of the page: phantoms, made when it starts."""

from pathlib import Path

from acsnet._utils.files import write_png
from acsnet.labels import CLASS_NAMES
from acsnet.phantom import make_phantom

_SEED = 2
_SIZE = (360, 460)


def make_examples(folder: Path) -> list[Path]:
    """Write one phantom per class into a folder, and return the files.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.app.examples import make_examples
        >>> [path.name for path in make_examples(Path("examples"))]
        ['benign phantom.png', 'malignant phantom.png', 'normal phantom.png']
    """
    files = {name: folder / f"{name} phantom.png" for name in CLASS_NAMES}
    for name, path in files.items():
        write_png(path, make_phantom(name, _SEED, _SIZE).image)
    return [*files.values()]
