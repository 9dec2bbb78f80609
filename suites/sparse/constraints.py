"""What delivered weights must satisfy: a share of zeros, N of every M, a share left unchanged.

All count what was delivered and never what a method says of its mask. The denominator of
zeros is the declared matrices, first and last layer included, biases left out; whatever else is
delivered may only be biases, so that no weight can be moved where it is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.contract import Array, Audit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sparsity:
    """At least `share` of the weights in the matrices `names` are zero, over all of them together.

    Rounding is forgiven: one weight per matrix.
    """

    share: float  # e.g. 0.98
    names: Sequence[str]  # of the state dict, e.g. "layers.0.weight"

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """See `harness.contract.Constraint.audit`."""
        del initial
        total = sum(weights[name].numel() for name in self.names)
        nonzero = sum(_nonzero(weights[name]) for name in self.names)
        allowed = round((1 - self.share) * total)
        found = _hidden(self.names, weights, encoded)
        if nonzero > allowed + len(self.names):
            found.append(
                f"{nonzero:,} of {total:,} weights are not zero; {100 * self.share:g} % sparsity "
                f"allows {allowed:,} (and {len(self.names)} for rounding)"
            )
        return Audit(tuple(found), _densities(self.names, weights))


@dataclass(frozen=True)
class NM:
    """Of every `m` weights that follow each other along the input, at most `n` are not zero.

    Groups begin at the first input; the last one is shorter where `m` does not divide the inputs.
    """

    n: int
    m: int
    names: Sequence[str]  # matrices (outputs, inputs) of the state dict

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """See `harness.contract.Constraint.audit`."""
        del initial
        found = _hidden(self.names, weights, encoded)
        groups = violating = 0
        for name in self.names:
            counts = self._counts(weights[name])  # (outputs, groups) int64
            over = int((counts > self.n).sum())
            if over:
                found.append(
                    f"{over:,} of {counts.numel():,} groups in {name} hold more than {self.n} "
                    f"non-zeros of {self.m} (up to {int(counts.max())})"
                )
            groups += counts.numel()
            violating += over
        measures = _densities(self.names, weights) | {"violating_groups": violating / groups}
        return Audit(tuple(found), measures)

    def _counts(self, weight: Tensor) -> Tensor:
        """Non-zeros per group (outputs, groups) of a matrix (outputs, inputs)."""
        from torch.nn.functional import pad

        nonzero = pad((weight != 0).long(), (0, -weight.shape[1] % self.m))
        return nonzero.unflatten(1, (-1, self.m)).sum(2)


@dataclass(frozen=True)
class Parameters:
    """At most `share` of all that is delivered differs from the initial weights of the scenario.

    For scenarios that hand out weights to begin with: what is tuned must be found by its place, so
    a change of one bit counts, and so do buffers and biases.
    """

    share: float  # e.g. 0.05

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """See `harness.contract.Constraint.audit`."""
        missing = [name for name in weights if name not in initial]
        if missing:
            raise ValueError(f"the scenario has no initial weights for {', '.join(missing)}")
        total = sum(weight.numel() for weight in weights.values())
        changed = sum(_changed(weight, initial[name]) for name, weight in weights.items())
        allowed = round(self.share * total)
        found = []
        if changed > allowed:
            found.append(
                f"{changed:,} of {total:,} parameters were changed; "
                f"{100 * self.share:g} % allow {allowed:,}"
            )
        if encoded:
            found.append(f"encoded tensors have no place here: {', '.join(encoded)}")
        return Audit(tuple(found), {"changed_fraction": changed / total})


def _changed(weight: Tensor, before: Array) -> int:
    """How many values have other bytes than before."""
    now = weight.detach().cpu().numpy()
    if now.dtype != before.dtype or now.shape != before.shape:
        return now.size
    if not now.size:
        return 0
    pair = [np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (now, before)]
    differs = (pair[0] != pair[1]).reshape(now.size, -1)  # (values, bytes)
    return int(differs.any(1).sum())


def _nonzero(weight: Tensor) -> int:
    return int((weight != 0).sum())  # NaN counts


def _densities(names: Sequence[str], weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The share of non-zeros, of all matrices together and of each."""
    total = sum(weights[name].numel() for name in names)
    nonzero = {name: _nonzero(weights[name]) for name in names}
    return {"nonzero_fraction": sum(nonzero.values()) / total} | {
        f"density/{name}": nonzero[name] / weights[name].numel() for name in names
    }


def _hidden(
    names: Sequence[str], weights: Mapping[str, Tensor], encoded: Mapping[str, Tensor]
) -> list[str]:
    """Everything delivered that is neither a counted matrix nor a bias, one sentence each."""
    others = [name for name in weights if name not in names]
    found = [
        f"{name} has shape {tuple(weights[name].shape)} and is not counted; only biases may be"
        for name in others
        if weights[name].ndim != 1 or not name.endswith("bias")
    ]
    if encoded:
        found.append(f"encoded tensors have no place here: {', '.join(encoded)}")
    return found
