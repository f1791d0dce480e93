"""Seeds that NumPy takes, which are below 2**32."""

# The rest is for processes of one training, which add their number.
_SEEDS = 2**32 - 1024


def derived_seed(seed: int, step: int = 0, stride: int = 1) -> int:
    """Return the seed of one step of something that has a seed.

    Args:
        seed: any integer.
        step: number of the step, 0 or more.
        stride: difference between the seeds of two neighboring seeds; larger than the number of steps.

    Example:
        >>> derived_seed(2, step=5, stride=1000)
        2005
        >>> derived_seed(20240101, step=5, stride=100_003) < 2**32
        True
    """
    return (seed * stride + step) % _SEEDS
