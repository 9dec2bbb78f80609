"""Where modules were that have a room now, for suites written before; nothing of ours enters.

`from suites.shared.pictures import CIFAR_10` still works and finds the module where it lies.
"""

from pathlib import Path

_ROOMS = ("data", "networks", "metrics", "reasoning", "continual", "precision", "rlhf", "sparse")
__path__ = [str(Path(__file__).parents[1] / room) for room in _ROOMS]
