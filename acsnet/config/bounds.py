"""Types and limits that a configuration shares with the metadata of a checkpoint.

The metadata repeats values of the configuration. Every value that a configuration accepts is valid in the checkpoint
that its training writes, because both have these types.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict

#: Largest height and width of the network's input in pixels, also after scaling by test-time augmentation.
MAX_SIDE = 4096
#: Largest number of scales of test-time augmentation.
MAX_SCALES = 16
#: Largest number of images per batch in testing and predicting.
MAX_BATCH = 1024

# Strict: otherwise pydantic converts true to 1 and "40" to 40.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Side = Annotated[Whole, Field(ge=1, le=MAX_SIDE)]
# Statistics of pixel / 255.
Mean = Annotated[Real, Field(ge=0, le=1)]
StandardDeviation = Annotated[Real, Field(ge=1e-3, le=1e3)]


def _check_printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} has control characters, or spaces at its ends: use printable characters")
    return name


#: Largest seed that NumPy takes.
MAX_SEED = 2**32 - 1
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED)]
# A name that is shown in tables and on terminals.
PrintableName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_printable)]


@dataclass(frozen=True)
class NumberOrWord:
    """Check of a value that is a number above 0 or a word.

    Attributes:
        limit: the largest number, or the smallest one that is too large.
        word: the word.
        allows_limit: whether ``limit`` is the largest number.
    """

    limit: float
    word: str
    allows_limit: bool = False

    def __call__(self, value: Any) -> Any:
        """Return the value.

        Raises:
            ValueError: if it is neither.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value == self.word or (is_number and 0 < value < self.limit):
            return value
        if is_number and self.allows_limit and value == self.limit:
            return value
        raise ValueError(f"{value!r} is neither a {self.number} nor the word {self.word!r}")

    @property
    def number(self) -> str:
        """The number in words."""
        return f"number above 0 and {'up to' if self.allows_limit else 'below'} {self.limit:g}"


def check_scaled_sides(size: Sequence[int], scales: Sequence[float]) -> None:
    """Check that the input of a network has a valid size at every scale of test-time augmentation.

    Args:
        size: (height, width) in pixels.
        scales: factors of the size.

    Raises:
        ValueError: if a scaled side is longer than ``MAX_SIDE``.

    Example:
        >>> check_scaled_sides((256, 256), (0.75, 1, 1.25))
    """
    if max(size) * max(scales) > MAX_SIDE:
        raise ValueError(
            f"a side of {max(size)} pixels at scale {max(scales):g} has more than {MAX_SIDE}: lower the scale of "
            "test-time augmentation, or the image size"
        )
