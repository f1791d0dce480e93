"""Examples of the page: phantoms, made when it starts."""

from pathlib import Path

from acsnet.labels import CLASS_NAMES
from acsnet.phantom import write_phantoms

_SEED = 4
_SIZE = (360, 460)


def make_examples(folder: Path) -> list[Path]:
    """Write one phantom per class into a folder, and return the files.

    Example:
        >>> from pathlib import Path
        >>> from acsnet.app.examples import make_examples
        >>> [path.name for path in make_examples(Path("examples"))]
        ['phantom benign.png', 'phantom malignant.png', 'phantom normal.png']
    """
    write_phantoms(folder, dict.fromkeys(CLASS_NAMES, 1), _SEED, _SIZE, progress=False, vary_size=False)
    return [(folder / name / f"{name} (1).png").rename(folder / f"phantom {name}.png") for name in CLASS_NAMES]
