"""Signals that ask a program to stop, as exceptions: files that are being written are then removed or completed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What a user reads about a signal; SIGHUP is sent when a terminal is closed.
_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}


class Stopped(KeyboardInterrupt):
    """A signal asked the program to stop.

    It is an interruption of the keyboard for code that handles those, such as Optuna and training loops.
    """


class Stop:
    """The signal that asked to stop, if any.

    Attributes:
        number: number of the last signal, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def status(self) -> int:
        """The exit status of a program that a signal ended: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def word(self) -> str:
        """The reason for people."""
        return _WORDS[signal.Signals(self.number or signal.SIGINT).name]


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Raise :class:`Stopped` in the main thread for SIGINT, SIGTERM and SIGHUP, as long as the block runs.

    Signals that the program was started to ignore, as by ``nohup``, stay ignored. In child processes the signals have
    their usual effect.
    """
    stop = Stop()
    owner = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        stop.number = number
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers.
        yield stop
        return
    numbers = [getattr(signal, name) for name in _WORDS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, handle)
        yield stop
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
