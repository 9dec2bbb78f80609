"""Asking a process for answers to test inputs, sheet by sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.candidate.channel import ChannelError, Message
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
        self.answers += len(outputs)
        return self.exam.sorted_out(sheet, outputs)

    def _book(self, reply: Message) -> None:
        for name, amount in amounts(reply.data.get("spent")).items():
            told = f"predict_{name}"
            self.spent[told] = self.spent.get(told, 0) + amount
        self.flops = amounts({"flops": reply.data.get("flops")})["flops"]
