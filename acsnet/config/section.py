"""Base class of the sections of a configuration, and the types of their values."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from acsnet.config.bounds import Real, Whole

Fraction = Annotated[Real, Field(ge=0, le=1)]
PositiveInt = Annotated[Whole, Field(ge=1)]
PositiveReal = Annotated[Real, Field(gt=0)]


def _expand(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError(f"the path {str(path)!r} has a NUL: remove it")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"the home folder of {path} is unknown: write the path without ~") from None


# A path in which ~ is the home folder, as in a shell.
UserPath = Annotated[Path, AfterValidator(_expand)]


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


# One path, or a list of them.
UserPaths = Annotated[tuple[UserPath, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


def none_is_empty(value: Any) -> Any:
    """Return {} for null, which, unlike {}, removes the entries of a parent file."""
    return {} if value is None else value


# Arguments by their names; null removes those of a parent file.
Arguments = Annotated[dict[str, Any], BeforeValidator(none_is_empty)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and objects are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
