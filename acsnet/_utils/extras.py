"""The extras of the package, and the one line that a missing package of an extra becomes.

A room that cannot work without an extra asks for it when it is imported, so before any work. Other code imports the
packages of extras within functions, in a block of :func:`explain_missing`.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from acsnet.errors import AcsnetError, MissingPackageError

_TRAIN = ("accelerate", "albumentations", "monai", "scipy", "sklearn", "tensorboard")
_REPORT = (*_TRAIN, "jinja2", "matplotlib", "statsmodels", "threadpoolctl")
_EXPERIMENTS = (*_REPORT, "optuna", "sqlalchemy")
#: Extra -> the packages that it installs, by the names of their imports; later ones contain earlier ones.
EXTRAS: Mapping[str, Sequence[str]] = {
    "train": _TRAIN,
    "report": _REPORT,
    "experiments": _EXPERIMENTS,
    "postgresql": (*_EXPERIMENTS, "psycopg"),
    "data": ("highdicom", "openpyxl", "pydicom"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "trackers": (*_EXPERIMENTS, "wandb", "mlflow"),
    "app": ("highdicom", "openpyxl", "pydicom", "gradio", "fastapi", "uvicorn"),
}


def require_extra(extra: str, subject: str, packages: Sequence[str] | None = None) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
        extra: name of the extra.
        subject: what needs it, the beginning of the message.
        packages: the packages of the extra that are needed; by default all.

    Raises:
        MissingPackageError: if one is not installed.

    Example:
        >>> from acsnet._utils.extras import require_extra
        >>> require_extra("train", "training")
    """
    names = EXTRAS[extra] if packages is None else packages
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(_line(subject, missing, extra))


@contextmanager
def explain_missing(subject: str, error: type[AcsnetError] = MissingPackageError) -> Iterator[None]:
    """Turn the failed import of a package of an extra in the block into one line that says how to install it.

    Args:
        subject: what needs the package, the beginning of the message.
        error: class of the error.

    Raises:
        MissingPackageError: or ``error``, if a package of an extra is not installed.

    Example:
        >>> from acsnet._utils.extras import explain_missing
        >>> with explain_missing("a table of .xlsx"):
        ...     import openpyxl
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        extra = next((extra for extra, names in EXTRAS.items() if name in names), None)
        if extra is None:
            raise
        raise error(_line(subject, [name], extra)) from None


def _line(subject: str, missing: Sequence[str], extra: str) -> str:
    return f"{subject} needs {', '.join(missing)}: pip install 'acsnet[{extra}]'"
