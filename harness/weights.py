"""Delivered weights: taken as safetensors, audited, loaded into our own network, judged by us."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import loading
from harness.channel import ChannelError, Message
from harness.contract import Array, Audit, Constraint, Scenario
from harness.errors import RunFailure
from harness.exam import Exam
from harness.fingerprint import of_weights

if TYPE_CHECKING:
    from torch import nn


def warm_up(scenario: Scenario) -> None:
    """Load torch here, if we are to judge weights, before the clock of any run has started."""
    if scenario.deliverable == "weights":
        import torch

        torch.set_num_threads(1)


class Judge:
    """Holds the network a method delivered."""

    def __init__(self, exam: Exam) -> None:
        self._exam = exam
        self._model: nn.Module | None = None
        self._audit = Audit()
        self.parameters: int | None = None
        self.sha256: str | None = None

    def take(self, delivered: Message, *, required: bool) -> bool | None:
        """Load and audit weights; whether they meet the constraint, None without one.

        Raises RunFailure("weights") for what does not fit the network and, where the constraint is
        `required` to hold, RunFailure("constraint") saying by how much it is missed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        from harness.tensors import ENCODED, as_array

        if len(delivered.arrays) != 1:
            raise ChannelError("a delivery without weights")
        try:
            tensors = load(delivered.arrays[0].tobytes())
        except (SafetensorError, ValueError, KeyError) as error:
            raise RunFailure("weights", f"the delivered weights cannot be read: {error}") from error
        cut = len(ENCODED)
        encoded = {n[cut:]: t for n, t in tensors.items() if n.startswith(ENCODED)}
        weights = {n: t for n, t in tensors.items() if not n.startswith(ENCODED)}
        model = loading.call(self._exam.stream.model)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            first = str(error).replace("\n", " ")[:400]
            raise RunFailure("weights", f"the weights do not fit the network: {first}") from error
        self._model = model.eval()
        self.parameters = sum(p.numel() for p in model.parameters())
        self.sha256 = of_weights({n: as_array(t) for n, t in weights.items()})
        named = self._exam.stream.constraint
        if named is None:
            return None
        constraint: Constraint = loading.call(named)
        self._audit = constraint.audit(weights, encoded)
        if required and self._audit.violations:
            raise RunFailure("constraint", "; ".join(self._audit.violations))
        return not self._audit.violations

    def predict(self, test: int) -> Array:
        """Outputs of the delivered network for one test, in the order it is handed out."""
        import torch

        assert self._model is not None
        assert self._exam.scenario.infer is not None
        stream, order = self._exam.stream, self._exam.orders[test]
        inputs = torch.from_numpy(stream.tests[test].inputs[order])
        parts = []
        with torch.no_grad():
            for batch in torch.split(inputs, self._exam.scenario.predict_batch):
                outputs = self._exam.scenario.infer(self._model, batch, stream.tests[test].task)
                parts.append(outputs.cpu().numpy())
        return np.concatenate(parts)

    def audited(self) -> Mapping[str, float]:
        """Numbers from the audit of the last delivery."""
        return self._audit.measures

    def measures(self) -> Mapping[str, float]:
        """Numbers from the audit and from the scenario's own measuring of the last delivery."""
        measure = self._exam.scenario.measure
        more = measure(self._model, self._exam.stream) if measure and self._model else {}
        return {**self._audit.measures, **more}


def name_of(function: Callable[..., Any] | None) -> str:
    """How another process finds a module-level function."""
    assert function is not None
    name = function.__module__
    place = name if "." in name else sys.modules[name].__file__  # a lone file may be on no path
    return f"{place}:{function.__qualname__}"
