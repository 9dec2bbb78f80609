"""Delivered weights: taken as safetensors, audited, loaded into our own network, judged by us."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.candidate import loading
from harness.candidate.channel import ChannelError, Message
from harness.contract import Array, Constraint, Scenario
from harness.declared import Declaration, deliverable
from harness.errors import DIVERGED, RunFailure
from harness.fingerprint import of_weights
from harness.proctor.exam import Exam

if TYPE_CHECKING:
    from torch import nn


def warm_up(scenario: Scenario, declaration: Declaration, contract: int) -> None:
    """Load torch here, if we are to judge weights, before the clock of any run has started."""
    if deliverable(scenario, declaration, contract) == "weights":
        import torch

        torch.set_num_threads(1)


class Judge:
    """Holds the network a method delivered, on the kind of device that the run was given."""

    def __init__(self, exam: Exam, device: str) -> None:
        self._exam = exam
        self._device = device
        self._model: nn.Module | None = None
        self._measures: dict[str, float] = {}
        self.parameters: int | None = None
        self.sha256: str | None = None

    def take(self, delivered: Message, *, required: bool) -> bool | None:
        """Load and audit weights; whether they meet the constraint, None without one.

        Raises RunFailure("weights") for what does not fit the network, RunFailure("diverged") for
        NaN and infinity and, where the constraint is `required` to hold, RunFailure("constraint")
        saying by how much it is missed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        from harness.candidate.tensors import ENCODED, as_array

        if len(delivered.arrays) != 1:
            raise ChannelError("a delivery without weights")
        try:
            tensors = load(delivered.arrays[0].tobytes())
        except (SafetensorError, ValueError, KeyError) as error:
            raise RunFailure("weights", f"the delivered weights cannot be read: {error}") from error
        cut = len(ENCODED)
        encoded = {n[cut:]: t for n, t in tensors.items() if n.startswith(ENCODED)}
        weights = {n: t for n, t in tensors.items() if not n.startswith(ENCODED)}
        broken = [n for n, t in tensors.items() if not bool(t.isfinite().all())]
        if broken:
            raise RunFailure(
                "diverged", f"NaN or infinity in the delivered {broken[0]}; {DIVERGED}"
            )
        model = loading.call(self._exam.stream.model)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            first = str(error).replace("\n", " ")[:400]
            own = ""
            if self._exam.scenario.judges_network:
                own = "; a method with a network of its own says so: own_model = True"
            text = f"the weights do not fit the network: {first}{own}"
            raise RunFailure("weights", text) from error
        self._model = model.eval().to(self._device)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.sha256 = of_weights({n: as_array(t) for n, t in weights.items()})
        self._measures = {}
        named = self._exam.scenario.constraint
        met = None
        if named is not None:
            constraint: Constraint = loading.call(named)
            audit = constraint.audit(weights, encoded, self._exam.stream.initial_weights or {})
            if required and audit.violations:
                raise RunFailure("constraint", "; ".join(audit.violations))
            self._measures |= audit.measures
            met = not audit.violations
        if self._exam.scenario.measure is not None:
            self._measures |= self._exam.scenario.measure(self._model, self._exam.stream)
        odd = [name for name, value in self._measures.items() if not math.isfinite(value)]
        if odd:
            raise RunFailure("weights", f"the delivered weights measure {odd[0]} as no number")
        return met

    def predict(self, paper: int) -> Array:
        """Outputs of the delivered network for one paper, in the order it is handed out."""
        import torch

        assert self._model is not None
        assert self._exam.scenario.infer is not None
        test, order = self._exam.papers[paper], self._exam.orders[paper]
        inputs = torch.from_numpy(test.inputs[order]).to(self._device)
        rng = torch.Generator().manual_seed(self._exam.inference_seed(paper))
        parts = []
        with torch.no_grad():
            for batch in torch.split(inputs, self._exam.scenario.predict_batch):
                outputs = self._exam.scenario.infer(self._model, batch, test.task, rng)
                parts.append(outputs.cpu().numpy())
        return np.concatenate(parts)

    def measures(self) -> Mapping[str, float]:
        """Numbers from the audit and from the scenario's own measuring of the last delivery."""
        return self._measures
