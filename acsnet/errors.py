"""Exceptions for errors that a user can cause and fix.

Every message is one line that names the problem, its place and the remedy. The command-line tools print it without a
traceback and exit with status 2; users of the library catch :class:`AcsnetError`.
"""


class AcsnetError(Exception):
    """Base class of all errors that a user can cause and fix."""


class ConfigError(AcsnetError, ValueError):
    """A configuration file or an override is invalid."""


class CommandError(AcsnetError):
    """A command line is invalid."""


class UnknownNameError(AcsnetError, ValueError):
    """The name of a network, loss, schedule or other choice is unknown."""


class InputError(AcsnetError, ValueError):
    """A tensor or an argument has the wrong shape, type or range."""


class DataError(AcsnetError):
    """A dataset cannot be used: it is missing, empty or has broken files."""


class CheckpointError(AcsnetError):
    """A checkpoint or another file of weights cannot be read, or does not match the network."""


class DownloadError(AcsnetError):
    """A file could not be downloaded."""


class RunError(AcsnetError):
    """A run folder cannot be used, or a training had to stop."""


class MissingPackageError(AcsnetError, ImportError):
    """A package of an extra is not installed."""


class PluginError(AcsnetError):
    """A module that registers networks, losses or datasets cannot be imported."""
