"""The exceptions that carry a sentence for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal, TypeGuard, get_args

FailureKind = Literal[
    "exception",  # code of the method raised
    "exit",  # its process left
    "killed",  # its process was ended by a signal
    "time-out",
    "memory",
    "disk",
    "budget",  # it spent more than it was given
    "contract",  # it did what the contract does not allow, or talked as no process of ours does
    "output",  # its answers are not what the scenario asks for
    "weights",  # its weights are not
    "constraint",  # they miss what the scenario demands of them
    "diverged",  # they are no numbers
]
"""Why a run has no score: what tables group by, so there are no others."""
FAILURE_KINDS: frozenset[FailureKind] = frozenset(get_args(FailureKind))


class HeldoutError(Exception):
    """Something the user can mend. The text says what was wrong, where, and what to do next."""


class DataError(HeldoutError):
    """A data set is missing, damaged or not what it should be. The text names the file."""


class RunFailure(Exception):  # noqa: N818 - a failure is a result here (law 6), not an error
    """A run ended without a valid result; becomes a failure record.

    `reason` is the sentence a person acts on.
    """

    def __init__(self, kind: FailureKind, reason: str) -> None:
        """Raises ValueError for a kind that there is not: a suite's own code may call this too."""
        super().__init__(reason)
        if not is_kind(kind):
            raise ValueError(f"{kind!r} is no kind of failure{did_you_mean(kind, FAILURE_KINDS)}")
        self.kind = kind
        self.reason = reason


def is_kind(kind: object) -> TypeGuard[FailureKind]:
    """Whether a run can fail in such a way, for what comes from elsewhere."""
    return isinstance(kind, str) and kind in FAILURE_KINDS


DIVERGED = (
    "a step size that is too large does that, and so does a division by nothing, such as by the "
    "spread of a group of one: print the loss of each step"
)
"""What a person can do about weights that are no numbers; the cause is not known here."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' - did you mean "er"?' when a known name is close to `name`, else what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f' - did you mean "{close[0]}"?'
    return f"; there is: {', '.join(names)}" if names else ""
