"""Base class of the sections of a configuration, and the types of their values."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

# Strict: otherwise pydantic converts true to 1 and "40" to 40.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict()]
Fraction = Annotated[Real, Field(ge=0, le=1)]
# A path in which ~ is the home folder, as in a shell.
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
PositiveInt = Annotated[Whole, Field(ge=1)]
PositiveReal = Annotated[Real, Field(gt=0)]
Flag = Annotated[bool, Strict()]


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Path) else value


# One path, or a list of them.
UserPaths = Annotated[tuple[UserPath, ...], Field(min_length=1), BeforeValidator(_one_or_several)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and objects are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
