"""Ctrl-C while others work: told where it can be dealt with."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupts(tell: Callable[[KeyboardInterrupt], None]) -> Iterator[None]:
    """Ctrl-C as an event: an exception that a signal raises can be lost in code that may not raise.

    Destructors are such code. Handlers of other programs are left alone.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: tell(KeyboardInterrupt()))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
