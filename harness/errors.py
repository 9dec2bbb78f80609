"""The exceptions that carry a sentence for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeldoutError(Exception):
    """Something the user can mend. The text says what was wrong, where, and what to do next."""


class DataError(HeldoutError):
    """A data set is missing, damaged or not what it should be. The text names the file."""


class RunFailure(Exception):  # noqa: N818 - a failure is a result here (law 6), not an error
    """A run ended without a valid result; becomes a failure record.

    `kind` is one word a table can group by, `reason` the sentence a person acts on.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


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
