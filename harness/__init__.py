"""Heldout's harness: which runs, in which process, with which labels, written where."""

__version__ = "0.1.0"
