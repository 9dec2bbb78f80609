"""What the proctor holds of one scenario, side and seed: data to hand out, answers to keep."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from harness import seeds
from harness.candidate.channel import DTYPES, SharedArray
from harness.candidate.loading import name_of
from harness.contract import Array, Outputs, Scenario, SideName, Step, Stream, Test
from harness.errors import HeldoutError, RunFailure
from harness.fingerprint import of_arrays, of_items
from harness.metering.meter import memory_available
from harness.records.record import ItemScores

KEPT = 8  # exams in memory at a time
KEPT_SHARE = 0.25  # of the memory that is free: what those kept may take


@dataclass(frozen=True)
class Sheet:
    """Inputs that a method is handed together: of one paper, or of several mixed.

    Where a method is not told which task inputs belong to, it must not find out by their company:
    whoever sees the inputs of one task alone can guess the task from all of them, and so rule out
    most answers.
    """

    papers: tuple[int, ...]
    inputs: SharedArray
    order: Array  # of each input handed out, its place among the papers' one after the other


@dataclass(frozen=True)
class Exam:
    """One stream with its data in shared memory, test inputs shuffled."""

    scenario: Scenario
    stream: Stream
    side: SideName
    seed: int
    steps: tuple[tuple[SharedArray, ...], ...] = ()
    """Per experience, its arrays in the order the scenario declares them; none to judge only."""
    contract: int = 1  # whose rule makes its seeds
    salt: bytes = field(default=b"", repr=False)  # from contract version 2 on
    untrained: dict[str, tuple[float, ...]] = field(default_factory=dict, compare=False)
    """By device, the quality of the network before training, on every test, once it is known."""
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False)  # for that

    @classmethod
    def built(
        cls, scenario: Scenario, side: SideName, seed: int, contract: int, salt: bytes
    ) -> Exam:
        """The exam to judge by, its data where the suite has put it."""
        identity = scenario.suite, seeds.group(scenario, contract), side, seed
        stream = scenario.build(side, seeds.of_data(*identity, contract=contract, salt=salt))
        return cls(scenario, stream, side, seed, contract=contract, salt=salt)

    @classmethod
    def sat(
        cls, scenario: Scenario, side: SideName, seed: int, contract: int = 1, salt: bytes = b""
    ) -> Exam:
        """The exam for methods to sit; raises HeldoutError if the suite built something unusable.

        Experiences move into shared memory one by one, so that only one is ever held twice.
        """
        exam = cls.built(scenario, side, seed, contract, salt)
        _check_stream(exam.stream, scenario, side)
        left = list(exam.stream.steps)
        exam = replace(exam, stream=replace(exam.stream, steps=()))
        moved = []
        while left:
            moved.append(_moved(left.pop(0)))
        stream = replace(exam.stream, steps=tuple(step for step, _ in moved))
        exam = replace(exam, stream=stream, steps=tuple(arrays for _, arrays in moved))
        _ = exam.inputs, exam.orders, exam.sheets
        return exam

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, roughly."""
        shared = {a for arrays in (*self.steps, self.inputs) for a in arrays}
        shared |= {sheet.inputs for sheet in self.sheets}
        return sum(a.size_bytes for a in shared) + sum(t.inputs.nbytes for t in self.papers)

    @property
    def sizes(self) -> list[int]:
        """How many samples each experience has."""
        return [len(next(iter(step.arrays.values()))) for step in self.stream.steps]

    @cached_property
    def _prompts(self) -> tuple[frozenset[bytes], ...]:
        """Per experience, the prompts that it hands out; empty where there are none."""
        return tuple(
            frozenset(_rows(step.arrays["prompts"]) if "prompts" in step.arrays else ())
            for step in self.stream.steps
        )

    def strangers(self, prompts: Array, begun: int) -> int:
        """How many of prompts (B, ...) are none of the first `begun` experiences'.

        A verifier may know the answer to every question, those of the tests too.
        """
        known = self._prompts[:begun]
        if not any(known):
            return 0
        return sum(not any(row in those for those in known) for row in _rows(prompts))

    @property
    def papers(self) -> tuple[Test, ...]:
        """What is judged: the tests, and the validation set, if there is one, as the last."""
        validation = self.stream.validation
        return self.stream.tests if validation is None else (*self.stream.tests, validation)

    @property
    def code(self) -> tuple[str, ...]:
        """What a method's process calls of the suite: it must be able to import that."""
        calls = (self.stream.model, self.scenario.constraint)
        return tuple(call.target for call in calls if call is not None)

    @property
    def inference(self) -> str:
        """The target of the scenario's own predicting."""
        return name_of(self.scenario.infer)

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders that the network is made from: pretrained weights."""
        given = [v for v in self.stream.model.arguments.values() if isinstance(v, str)]
        return tuple(v for v in given if Path(v).is_absolute() and Path(v).is_dir())

    @cached_property
    def run_seeds(self) -> seeds.Seeds:
        """The seeds that a method's process is told."""
        group = seeds.group(self.scenario, self.contract)
        identity = self.scenario.suite, group, self.side, self.seed
        return seeds.of_run(*identity, contract=self.contract, salt=self.salt)

    def inference_seed(self, paper: int) -> int:
        """The seed of what we draw ourselves when we predict."""
        return seeds.of_inference(self.run_seeds, paper, contract=self.contract, salt=self.salt)

    def _permutation(self, papers: Sequence[int], count: int) -> Array:
        """The order (count,) in which the inputs of papers are handed out together."""
        answers = of_arrays([self.papers[j].answers for j in papers])
        seed = seeds.of_shuffle(answers, self.seed, contract=self.contract, salt=self.salt)
        return np.random.default_rng(seed).permutation(count)

    @cached_property
    def orders(self) -> tuple[Array, ...]:
        """Per paper, the permutation in which its inputs are handed out."""
        return tuple(self._permutation([j], len(t.inputs)) for j, t in enumerate(self.papers))

    @cached_property
    def inputs(self) -> tuple[SharedArray, ...]:
        """Per paper, its shuffled inputs."""
        return tuple(
            SharedArray(test.inputs[order])
            for test, order in zip(self.papers, self.orders, strict=True)
        )

    @cached_property
    def sheets(self) -> tuple[Sheet, ...]:
        """What a method answers, each paper on one sheet; none where it delivers weights."""
        if self.scenario.deliverable == "weights":
            return ()
        together: dict[object, list[int]] = {}
        for j, paper in enumerate(self.papers):
            alone = paper.task is not None or paper is self.stream.validation
            kind = j if alone else (paper.inputs.dtype, paper.inputs.shape[1:])
            together.setdefault(kind, []).append(j)
        return tuple(self._sheet(tuple(papers)) for papers in together.values())

    def _sheet(self, papers: tuple[int, ...]) -> Sheet:
        if len(papers) == 1:
            return Sheet(papers, self.inputs[papers[0]], self.orders[papers[0]])
        inputs = np.concatenate([self.papers[j].inputs for j in papers])
        order = self._permutation(papers, len(inputs))
        return Sheet(papers, SharedArray(inputs[order]), order)

    def sorted_out(self, sheet: Sheet, outputs: Array) -> dict[int, Array]:
        """Outputs of a sheet by paper, in the papers' own order."""
        restored = np.empty_like(outputs)
        restored[sheet.order] = outputs
        ends = np.cumsum([len(self.papers[j].inputs) for j in sheet.papers])
        return dict(zip(sheet.papers, np.split(restored, ends[:-1]), strict=True))

    def unshuffled(self, paper: int, outputs: Array) -> Array:
        """Outputs in the paper's own order."""
        restored = np.empty_like(outputs)
        restored[self.orders[paper]] = outputs
        return restored

    def quality(self, paper: int, outputs: Array) -> float:
        """The score of outputs that are in the paper's own order."""
        quality = float(self.scenario.quality(outputs, self.papers[paper].answers))
        if not math.isfinite(quality):
            raise RunFailure("output", f"the outputs for test {paper} score {quality}")
        return quality

    def items(self, paper: int, outputs: Array) -> Array | None:
        """What each of a paper's items scored (N,) float32; None where the scenario does not say.

        Raises HeldoutError where the suite's function is unfit for its own outputs.
        """
        if self.scenario.items is None:
            return None
        found = np.asarray(self.scenario.items(outputs, self.papers[paper].answers))
        if found.shape != outputs.shape[:1] or found.dtype.kind not in "biuf":
            raise HeldoutError(
                f"{self.scenario.id}: `items` gave {found.dtype} values of shape {found.shape} for "
                f"the {len(outputs)} items of test {paper}; mend the suite: it is one number each"
            )
        with np.errstate(over="ignore"):
            scores = found.astype(np.float32)
        if not np.isfinite(scores).all():
            k = int(np.argmin(np.isfinite(scores)))
            raise RunFailure("output", f"the output for item {k} of test {paper} scores {found[k]}")
        return scores

    def outcomes(self, outputs: Mapping[int, Array]) -> tuple[ItemScores, ...]:
        """`items` of outputs by paper, as a record holds them."""
        found = {paper: self.items(paper, output) for paper, output in outputs.items()}
        return tuple(ItemScores(p, tuple(s.tolist())) for p, s in found.items() if s is not None)

    @cached_property
    def tested(self) -> tuple[tuple[int, ...], ...]:
        """Per test, which item each is, by a hash of its input; none where items say nothing."""
        says = self.scenario.items is not None
        return tuple(of_items(test.inputs) for test in self.stream.tests) if says else ()

    def secondary(self, outputs: Mapping[int, Array]) -> dict[str, float]:
        """Further numbers of outputs by paper, each a mean over the papers."""
        if self.scenario.secondary is None:
            return {}
        found = [self.scenario.secondary(o, self.papers[p].answers) for p, o in outputs.items()]
        means = {name: sum(float(f[name]) for f in found) / len(found) for name in found[0]}
        odd = [f"{name} of {value}" for name, value in means.items() if not math.isfinite(value)]
        if odd:
            raise RunFailure("output", f"the outputs have a {odd[0]}")
        return means


def _rows(array: Array) -> list[bytes]:
    """Rows that are equal where type, shape and content are."""
    kind = f"{array.dtype.str}{array.shape[1:]}".encode()
    return [kind + row.tobytes() for row in array]


def checked(outputs: Array, wanted: Outputs, count: int) -> Array:
    """The outputs if they are what the scenario asks for; RunFailure("output") otherwise."""
    shape = (count, *wanted.shape)
    if outputs.shape != shape:
        raise RunFailure("output", f"predict returned shape {outputs.shape}; {shape} is asked for")
    integer = np.issubdtype(outputs.dtype, np.integer)
    if wanted.kind == "integer" and not integer:
        raise RunFailure(
            "output", f"predict returned {outputs.dtype} values; whole numbers are asked for"
        )
    if not integer and not np.isfinite(outputs).all():
        raise RunFailure("output", "predict returned NaN or infinity")
    low = -math.inf if wanted.low is None else wanted.low
    high = math.inf if wanted.high is None else wanted.high
    if outputs.size and (outputs.min() < low or outputs.max() > high):
        raise RunFailure(
            "output",
            f"predict returned values from {outputs.min()} to {outputs.max()}; "
            f"valid are {low:g} to {high:g}",
        )
    return outputs


class Exams:
    """The exams in use, each built once however many runs and threads ask for it."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[int, str, int, int, bytes], Exam] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, scenario: Scenario, side: SideName, seed: int, contract: int = 1, salt: bytes = b""
    ) -> Exam:
        """The exam of a run; raises HeldoutError if the suite built something unusable."""
        rest = side, seed, contract, salt
        name = (id(scenario), *rest)  # the exam keeps it alive, so the id stays its own
        with self._lock:
            exam = self._held.get(name)
            if exam is None:
                exam = self._held[name] = Exam.sat(scenario, *rest)  # under the lock: once
                while len(self._held) > 1 and self._too_many():
                    self._held.popitem(last=False)
            self._held.move_to_end(name)
            return exam

    def _too_many(self) -> bool:
        taken = sum(exam.size_bytes for exam in self._held.values())
        return len(self._held) > KEPT or taken > KEPT_SHARE * (memory_available() + taken)


def _moved(step: Step) -> tuple[Step, tuple[SharedArray, ...]]:
    """The step with its arrays in shared memory."""
    shared = {name: SharedArray(array) for name, array in step.arrays.items()}
    views = {name: array.view() for name, array in shared.items()}
    return replace(step, arrays=views), tuple(shared.values())


def _check_stream(stream: Stream, scenario: Scenario, side: SideName) -> None:
    where = f"{scenario.id}, {side} side"
    if not stream.steps or not stream.tests:
        raise HeldoutError(f"{where}: a stream needs at least one experience and one test")
    handed_out = [a for step in stream.steps for a in step.arrays.values()]
    papers = [*stream.tests, *([stream.validation] if stream.validation else [])]
    for array in [*handed_out, *(test.inputs for test in papers)]:
        if array.ndim < 1 or array.dtype.name not in DTYPES:
            raise HeldoutError(
                f"{where}: an array of type {array.dtype} and shape {array.shape} cannot be handed "
                f"out; it needs a first dimension and one of the types {', '.join(sorted(DTYPES))}"
            )
    for i, step in enumerate(stream.steps):
        sizes = {len(a) for a in step.arrays.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise HeldoutError(f"{where}: experience {i} has arrays of lengths {sorted(sizes)}")
    for j, test in enumerate(papers):
        if len(test.inputs) != len(test.answers) or not len(test.inputs):
            raise HeldoutError(
                f"{where}: test {j} has {len(test.inputs)} inputs, {len(test.answers)} answers"
            )
    if scenario.budget.patience is not None and scenario.points < 2:
        raise HeldoutError(f"{scenario.id}: early stopping needs `points` above 1 to look at")
    predicting = scenario.untrained or scenario.judges_network or scenario.deliverable == "weights"
    if predicting and scenario.infer is None:
        raise HeldoutError(f"{scenario.id}: needs `infer`, since the harness is to predict")
