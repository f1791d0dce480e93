"""Completion of names in a shell, without imports that take long."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from acsnet.errors import AcsnetError

#: The published datasets that ``acsnet download`` knows.
DATASETS = ("busi", "udiat", "busbra", "breast", "busuclm")
_PACKAGE = Path(__file__).resolve().parents[1]
# The places of acsnet.checkpoints.index, which cannot be asked: importing acsnet.checkpoints imports torch.
_INDEXES = (_PACKAGE / "released" / "index.json", _PACKAGE.parent / "checkpoints" / "index.json")


def complete_checkpoint(incomplete: str) -> list[str]:
    """List the released checkpoints that begin with ``incomplete``."""
    for path in _INDEXES:
        with suppress(OSError, ValueError, KeyError):
            return _beginning(json.loads(path.read_text(encoding="utf-8"))["checkpoints"], incomplete)
    return []


def complete_config(incomplete: str) -> list[str]:
    """List the configurations of the project that begin with ``incomplete``."""
    from acsnet.config import list_configs

    with suppress(AcsnetError):
        return _beginning(list_configs(), incomplete)
    return []


def complete_dataset(incomplete: str) -> list[str]:
    """List the published datasets that begin with ``incomplete``."""
    return _beginning(DATASETS, incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
