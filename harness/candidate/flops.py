"""Floating-point operations of a method, counted in a pass of their own that nobody times.

Torch's counter sees matrix products, convolutions and attention, forward and backward; neither
elementwise work nor what runs outside of torch's operators (torch.linalg.solve, say). What a
method knows of that it declares: `experience.spend(uncounted_flops=n)`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch.utils.flop_counter import FlopCounterMode


class FlopCount:
    """Counts while a method learns and while it predicts, inside of learning too."""

    def __init__(self) -> None:
        self.predicted = 0
        self._learned = 0  # by verbs that have returned, of earlier processes too
        self._predicted_within = 0  # while the present verb learns
        self._mode: FlopCounterMode | None = None

    def go_on(self, learned: int) -> None:
        """Start from what an earlier process of the run has counted."""
        self._learned = learned

    @property
    def learned(self) -> int:
        """FLOPs of learning so far."""
        now = self._mode.get_total_flops() - self._predicted_within if self._mode else 0
        return self._learned + now

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Book what happens inside as learning."""
        self._predicted_within = 0
        with FlopCounterMode(display=False) as self._mode:
            yield
            total = self.learned
        self._mode, self._learned = None, total

    @contextlib.contextmanager
    def predicting(self) -> Iterator[None]:
        """Book what happens inside as predicting, also where learning is under way."""
        if self._mode is None:
            with FlopCounterMode(display=False) as mode:
                yield
            self.predicted += mode.get_total_flops()
            return
        before = self._mode.get_total_flops()
        yield
        spent = self._mode.get_total_flops() - before
        self.predicted += spent
        self._predicted_within += spent
