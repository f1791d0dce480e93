"""What the package raises for input that it cannot use.

Every message is one line that says what is wrong, where, and what to do. The tools print it without a traceback and
leave with exit status 2; library users catch :class:`AcsnetError`.
"""


class AcsnetError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(AcsnetError, ValueError):
    """A configuration file or an override is wrong."""


class UnknownNameError(AcsnetError, ValueError):
    """A name (of a network, loss, schedule, ...) that is not known."""


class InputError(AcsnetError, ValueError):
    """A tensor or an argument of the wrong shape, type or range."""


class DataError(AcsnetError):
    """A dataset that cannot be used: missing, empty, or with broken files."""


class CheckpointError(AcsnetError):
    """A checkpoint that cannot be read, or does not fit the network."""


class DownloadError(AcsnetError):
    """Something that had to be fetched over the network and could not be."""


class RunError(AcsnetError):
    """A run folder that cannot be used, or a training that had to stop."""
