"""Results of an earlier run in an output folder: refused, or removed on request, and never mixed with new ones."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from acsnet._utils.files import explained_writes
from acsnet.errors import DataError, RunError


@dataclass(frozen=True)
class ResultNames:
    """Names of the files and folders that a tool writes to its output folder.

    Attributes:
        kind: what it does, such as "prediction".
        marks: sets of files by which its results are recognized: all files of one set are there.
        folders: the folders that it writes.
        files: further files that it writes.
        suffixes: suffixes of the files in its folders.
        others: kinds of other tools that write folders of the same names, with a file of each.

    Example:
        >>> from acsnet._utils.result_names import ResultNames
        >>> results = ResultNames("drawing", marks=(("drawings.csv",),), folders=("drawings",))
        >>> results.check_unused(Path("a_new_folder"))
        >>> results.found(Path("a_new_folder"))
        []
    """

    kind: str
    marks: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...]
    files: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = (".png",)
    others: tuple[tuple[str, str], ...] = ()

    def are_in(self, folder: Path) -> bool:
        """Return whether a folder holds results of the tool, also if it was interrupted."""
        return any(all((folder / name).is_file() for name in names) for names in self.marks)

    def found(self, folder: Path) -> list[str]:
        """Return the names of the tool that a folder has; those of folders that are not empty end with a slash."""
        names = [name for name in self._all_files() if os.path.lexists(folder / name)]
        return names + [f"{name}/" for name in self.folders if any((folder / name).glob("*"))]

    def check_unused(self, folder: Path, overwrite: bool = False) -> None:
        """Check that new results neither overwrite others nor are mixed with them.

        Args:
            folder: the output folder, which may be missing.
            overwrite: whether results of the same tool are allowed; :meth:`clear` removes them.

        Raises:
            DataError: if files of the user could be meant.
            RunError: if the folder holds results of this tool, unless they are allowed, or of another one.
        """
        for kind, name in self.others:
            if (folder / name).is_file():
                raise RunError(
                    f"{folder} already holds {name} of an earlier {kind}: choose another folder by --out, so that "
                    f"their results do not mix"
                )
        found = self.found(folder)
        if not found:
            return
        if not self.are_in(folder):
            mark = " and ".join(self.marks[0])
            thing = f"{'folder' if (folder / found[0]).is_dir() else 'file'} {found[0]}"
            raise DataError(
                f"{folder} has a {thing} and no {mark} of an earlier {self.kind}, so that its files may be yours: name "
                "another output folder by --out, or remove it"
            )
        if not overwrite:
            raise RunError(
                f"{folder} already holds {', '.join(found)} of an earlier {self.kind}: choose another folder by --out, "
                "or pass --overwrite, which removes them"
            )
        for name in self.folders:
            if (folder / name).is_symlink():
                raise RunError(
                    f"{folder / name} is a link, so that its files are not removed: choose another folder by --out, or "
                    "remove the link"
                )

    def clear(self, folder: Path) -> None:
        """Remove the results of the tool from a folder, if it holds some; other files stay.

        Raises:
            WriteError: if they cannot be removed.
        """
        if not self.are_in(folder):
            return
        with explained_writes(folder):
            for name in self.folders:
                _remove_files(folder / name, self.suffixes)
            # Last, since they mark the folder as one whose results may be removed.
            for name in reversed(self._all_files()):
                (folder / name).unlink(missing_ok=True)

    def _all_files(self) -> list[str]:
        return [*(name for names in self.marks for name in names), *self.files]


def _remove_files(folder: Path, suffixes: Sequence[str]) -> None:
    """Remove the files with one of the suffixes below a folder, and folders that are empty then; links stay."""
    if folder.is_symlink():
        return
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = Path(path, name)
            if file.suffix in suffixes and not file.is_symlink():
                file.unlink()
        with suppress(OSError):
            os.rmdir(path)
