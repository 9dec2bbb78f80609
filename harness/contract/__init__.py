"""The contract: everything a suite states and everything a method sees.

Three parties read it. A *suite* describes a problem (`Scenario`, `Stream`). A *method* implements
three verbs (`Method`) against two objects (`Problem`, `Experience`). The *harness* keeps what
neither may have of the other: labels, oracles, the clock and the budget. Every room may enter.
"""

from harness.contract.judging import Audit, Constraint, Point, Trace
from harness.contract.method import Experience, Labelled, Method, Preferences, Problem, Prompted
from harness.contract.scenario import DataSource, Metric, Outputs, Scenario, Step, Stream, Test
from harness.contract.terms import (
    CONTRACT_VERSION,
    LIFTABLE,
    Array,
    Budget,
    Call,
    Deliverable,
    SideName,
    Tier,
)
from harness.space import Scalar

__all__ = [
    "CONTRACT_VERSION",
    "LIFTABLE",
    "Array",
    "Audit",
    "Budget",
    "Call",
    "Constraint",
    "DataSource",
    "Deliverable",
    "Experience",
    "Labelled",
    "Method",
    "Metric",
    "Outputs",
    "Point",
    "Preferences",
    "Problem",
    "Prompted",
    "Scalar",
    "Scenario",
    "SideName",
    "Step",
    "Stream",
    "Test",
    "Tier",
    "Trace",
]
