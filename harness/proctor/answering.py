"""Asking a process for answers to test inputs, sheet by sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.candidate.channel import ChannelError, Message, SharedArray
from harness.candidate.counts import amounts, within
from harness.contract import Array
from harness.metering.meter import Stopwatch
from harness.proctor.conversation import Conversation
from harness.proctor.exam import Exam, Sheet, checked


@dataclass
class Answerer:
    """Asks one process, and sums up what its answers took."""

    exam: Exam
    talk: Conversation
    watch: Stopwatch  # that follows the process
    handed_out: set[int] = field(default_factory=set)  # numbers of sheets
    answers: int = 0
    spent: dict[str, int] = field(default_factory=dict)  # "predict_generated_tokens", ...
    flops: int = 0
    given: dict[int, Array] = field(default_factory=dict)  # by sheet, in the order handed out

    def outputs(self, judged: Sequence[int], limits: Mapping[str, Any]) -> dict[int, Array]:
        """The checked outputs by paper, in the papers' own order; `limits` are the run's."""
        found: dict[int, Array] = {}
        asked = set(judged)
        self.spent = {}
        for number, sheet in enumerate(self.exam.sheets):
            if asked.intersection(sheet.papers):
                found |= self._sheet(number, sheet, limits)
        return {j: found[j] for j in judged}

    def _sheet(self, number: int, sheet: Sheet, limits: Mapping[str, Any]) -> dict[int, Array]:
        scenario = self.exam.scenario
        self.talk.doing = f"predict on test {', '.join(map(str, sheet.papers))}"
        request = {
            "sheet": number,
            "task": self.exam.papers[sheet.papers[0]].task,
            "batch": scenario.predict_batch,
        }
        arrays = [] if number in self.handed_out else [sheet.inputs]
        self.handed_out.add(number)
        with self.watch.predicting():
            reply = self.talk.ask("predict", request, arrays, kind="predicted")
        if len(reply.arrays) != 1:
            raise ChannelError("an answer without outputs")
        self._book(reply)
        within(limits, self.spent)
        outputs = checked(reply.arrays[0], scenario.outputs, len(sheet.order))
        self.given[number] = outputs
        self.answers += len(outputs)
        return self.exam.sorted_out(sheet, outputs)

    def some(self, number: int, places: Array, batch: int) -> Array:
        """Answers (K,) to the inputs at places (K,) of a sheet, `batch` at a time; not counted."""
        sheet = self.exam.sheets[number]
        self.talk.doing = f"predict on {len(places)} inputs, {batch} at a time"
        task = self.exam.papers[sheet.papers[0]].task
        request = {"sheet": number, "task": task, "batch": batch}
        inputs = SharedArray(sheet.inputs.view()[places])
        reply = self.talk.ask("predict", request, [inputs], kind="predicted")
        if len(reply.arrays) != 1:
            raise ChannelError("an answer without outputs")
        return checked(reply.arrays[0], self.exam.scenario.outputs, len(places))

    def _book(self, reply: Message) -> None:
        for name, amount in amounts(reply.data.get("spent")).items():
            told = f"predict_{name}"
            self.spent[told] = self.spent.get(told, 0) + amount
        self.flops = amounts({"flops": reply.data.get("flops")})["flops"]
