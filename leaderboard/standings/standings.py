"""Standings: the statistics of a board. Every number a page shows is computed here, once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.records.reading import Tested
from harness.records.record import BASE
from leaderboard import statistics
from leaderboard.standings.anchors import Anchor, Anchors
from leaderboard.standings.board import Board, DamagedFile, Entry, Problem, Run, Scenario, Suite
from leaderboard.standings.estimates import Energy, Estimate, by_provenance, estimate, over_known
from leaderboard.standings.tested import UNREAD, known

MEASURED = "measured"
"""The provenance of joules that counters gave; any other is a constant times CPU seconds."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What choosing the setting cost."""

    runs: int
    failed_runs: int
    seconds: float | None  # wall
    cpu_seconds: float | None
    energy_joules: float | None
    energy_provenance: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a scenario's table."""

    entry: Entry
    ranks: tuple[int, int] | None  # first and last place the tests leave open
    why_unranked: str
    score: Estimate | None  # None: nothing current, or a failure without a finite floor
    tuning: Tuning | None
    train_cpu_seconds: Estimate | None
    train_flops: Estimate | None
    answer_cpu_seconds: Estimate | None  # per 1,000 answers; None where the harness predicts
    train_seconds: Estimate | None  # wall; None too where a run had to wait for others
    energy: tuple[Energy, ...]  # however it was got
    successes: int  # runs that the costs are of
    peak_memory_bytes: int | None  # the largest of the successful runs
    carried_bytes: int | None  # the largest at any border of these; None where one was not taken
    network_bytes: int | None  # of the largest of their networks, at 4 bytes a parameter
    isolation: tuple[str, ...]
    secondary: dict[str, Estimate]
    gap: Estimate | None = None  # score minus the frozen reference, better being positive
    lacking: str = ""  # what the method needs and the scenario does not offer
    idle: bool = False  # whether it is not shown to be better than doing nothing

    @property
    def method(self) -> str:
        """The method's name, as untrusted as it was stored."""
        return self.entry.method

    @property
    def comparable(self) -> bool:
        """Whether its scores can be tested against others."""
        return self.score is not None and len(self.entry.runs) >= statistics.MINIMUM_SEEDS

    @property
    def measured(self) -> Energy | None:
        """Energy where counters gave it in all runs: else it is a constant times CPU seconds."""
        parts = [part for part in self.energy if part.provenance == MEASURED]
        return parts[0] if parts and parts[0].runs == self.successes else None

    @property
    def reproduced(self) -> bool:
        """Whether the same setting came to the same score in another environment.

        As for reported numbers: each mean lies in the other's 95 % interval.
        """
        return any(_agree(self.score, repeat) for repeat in self.entry.repeats)


@dataclass(frozen=True, slots=True)
class Failures:
    """Runs of one method on one scenario that failed for the same reason."""

    scenario: str
    method: str
    protocol: str
    kind: str
    reason: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Apart:
    """A seed that stands apart from the others of its row."""

    row: Row
    seed: int
    deviation: float  # from the row's median, as the metric counts
    times: float  # in robust standard deviations, see leaderboard/statistics/outliers.py


@dataclass(frozen=True, slots=True)
class ScenarioStanding:
    """One table: ranked rows by their first place, then the others."""

    scenario: Scenario
    problem: Problem
    rows: tuple[Row, ...]
    paired: int  # pairs of ranked methods compared seed by seed
    unpaired: int  # and by Welch's test
    crossed: int  # of both, pairs whose test knows the test items too; the others' seeds only
    secondary: tuple[str, ...]  # names of the further metrics
    anchor: Anchor | None = None  # the frozen constants, if they are of this very problem
    stale_anchor: Anchor | None = None  # or else those that were, and are not used
    separable: statistics.Separable | None = None  # what its tests can separate; None: no test
    apart: tuple[Apart, ...] = ()  # seeds that stand apart, by row

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that carry a rank set."""
        return tuple(row for row in self.rows if row.ranks)

    @property
    def unranked(self) -> tuple[Row, ...]:
        """The rows that were run and may not be ranked."""
        return tuple(row for row in self.rows if not row.ranks and row.entry.runs)

    @property
    def missing(self) -> tuple[Row, ...]:
        """The rows of methods that could have a current run here and have none."""
        return tuple(row for row in self.rows if not row.entry.runs and not row.lacking)

    @property
    def not_applicable(self) -> tuple[Row, ...]:
        """The rows of methods that need what the scenario does not offer."""
        return tuple(row for row in self.rows if not row.entry.runs and row.lacking)


@dataclass(frozen=True, slots=True)
class SuiteStanding:
    """One page."""

    suite: Suite
    scenarios: tuple[ScenarioStanding, ...]  # with at least one evaluation run
    waiting: tuple[str, ...]  # scenarios without an evaluation run
    failures: tuple[Failures, ...]

    @property
    def current(self) -> int:
        """Evaluation runs that count."""
        return sum(len(row.entry.runs) for s in self.scenarios for row in s.rows)

    @property
    def failed(self) -> int:
        """How many of those failed."""
        return sum(len(failure.seeds) for failure in self.failures)

    @property
    def stale(self) -> int:
        """Evaluation runs of an older scenario, older data or older method source."""
        return sum(row.entry.stale for s in self.scenarios for row in s.rows)

    @property
    def superseded(self) -> int:
        """Evaluation runs with another setting or environment than the newest."""
        return sum(row.entry.superseded for s in self.scenarios for row in s.rows)


@dataclass(frozen=True, slots=True)
class Standings:
    """The whole site, in numbers."""

    suites: tuple[SuiteStanding, ...]
    damaged: tuple[DamagedFile, ...]
    runs: int


NO_ANCHORS: Anchors = {}


def of_board(
    board: Board, anchors: Anchors = NO_ANCHORS, tested: Mapping[str, Tested] = UNREAD
) -> Standings:
    """The standings of a board; `tested` are the items of the runs that `tested.wanted` names."""
    suites = tuple(of_suite(suite, anchors, tested) for suite in board.suites)
    return Standings(suites, board.damaged, board.runs)


def current_keys(standings: Standings) -> set[str]:
    """The keys of all runs that count."""
    return {
        run.key
        for suite in standings.suites
        for scenario in suite.scenarios
        for row in scenario.rows
        for run in row.entry.runs
    }


def of_suite(
    suite: Suite, anchors: Anchors = NO_ANCHORS, tested: Mapping[str, Tested] = UNREAD
) -> SuiteStanding:
    """The standings of a suite's scenarios, each ranked for itself."""
    scenarios = [s for s in suite.scenarios if s.problem]
    return SuiteStanding(
        suite,
        tuple(
            of_scenario(s, s.problem, anchors.get((s.suite, s.name)), tested)
            for s in scenarios
            if s.problem
        ),
        tuple(s.name for s in suite.scenarios if not s.problem),
        tuple(failure for s in scenarios for failure in _failures(s)),
    )


def of_scenario(
    scenario: Scenario,
    problem: Problem,
    frozen: Anchor | None = None,
    tested: Mapping[str, Tested] = UNREAD,
) -> ScenarioStanding:
    """Rank the entries that may be ranked; the others stand unranked below them."""
    anchor = frozen if frozen and frozen.fits(problem) else None
    lacking = dict(frozen.not_applicable) if frozen else {}
    bounds = frozen.bounds if frozen else ()
    entries = [
        replace(known(entry, tested), bound=entry.bound or entry.method in bounds)
        for entry in scenario.entries
    ]
    ranked = [entry for entry in entries if not entry.unranked]
    sign = 1.0 if problem.higher_is_better else -1.0
    comparison = statistics.compare([_sample(entry, sign) for entry in ranked])
    ranks = [(int(first), int(last)) for first, last in comparison.ranks]
    places = [*zip(ranked, ranks, strict=True), *((e, None) for e in entries if e.unranked)]
    widths = _widths([entry for entry, _ in places])
    rows = [_row(e, rank, width) for (e, rank), width in zip(places, widths, strict=True)]
    rows = [
        replace(row, gap=_gap(row, anchor, sign), lacking=_lacking(row, lacking)) for row in rows
    ]
    rows = _beside_nothing(rows, sign)
    rows.sort(key=lambda row: _order(row, sign))
    names = {name for row in rows for name in row.secondary}
    return ScenarioStanding(
        scenario,
        problem,
        tuple(rows),
        comparison.paired,
        comparison.unpaired,
        comparison.items,
        tuple(sorted(names)),
        anchor,
        frozen if anchor is None else None,
        statistics.separable(comparison),
        _apart([row for row in rows if row.ranks]),
    )


def _widths(entries: Sequence[Entry]) -> list[float | None]:
    """Half the interval of each entry's mean, its items being random too; None without items."""
    told = [k for k, entry in enumerate(entries) if entry.items]
    found: list[float | None] = [None] * len(entries)
    if told:
        contrast = statistics.means([_sample(entries[k], 1.0) for k in told])
        for k, width in zip(told, contrast.half_width.tolist(), strict=True):
            found[k] = width
    return found


def _apart(rows: Sequence[Row]) -> tuple[Apart, ...]:
    found = statistics.outliers([_sample(row.entry, 1.0) for row in rows])
    return tuple(Apart(rows[o.sample], o.seed, o.deviation, o.times) for o in found)


def _beside_nothing(rows: Sequence[Row], sign: float) -> list[Row]:
    """The rows, each held against doing nothing where that was run: one test each, uncorrected.

    So a method is marked unless the 95 % interval of its difference lies above 0.
    """
    nothing = [row.entry for row in rows if row.comparable and row.method == BASE]
    if not nothing:
        return list(rows)

    def idle(row: Row) -> bool:
        samples = [_sample(entry, sign) for entry in (row.entry, nothing[0])]
        return not bool(statistics.compare(samples).better[0, 1])

    return [replace(row, idle=row.comparable and row.method != BASE and idle(row)) for row in rows]


def _gap(row: Row, anchor: Anchor | None, sign: float) -> Estimate | None:
    """The reference is a constant, so the interval is that of the score."""
    if row.score is None or anchor is None:
        return None
    return replace(row.score, mean=sign * (row.score.mean - anchor.reference.value))


def _lacking(row: Row, lacking: Mapping[str, str]) -> str:
    return "" if row.entry.runs else lacking.get(row.method, "")


def _sample(entry: Entry, sign: float) -> statistics.Sample:
    return statistics.Sample(
        tuple(run.seed for run in entry.runs),
        tuple(sign * run.value for run in entry.runs),
        entry.items.scaled(sign) if entry.items else None,
    )


def _order(row: Row, sign: float) -> tuple[float | str, ...]:
    first, last = row.ranks or (math.inf, math.inf)
    score = -sign * row.score.mean if row.score else math.inf
    entry = row.entry
    line = entry.method, entry.protocol, entry.debugging, entry.own_budget, entry.apart
    return (first, score, last, *line)


def _answering(run: Run) -> float | None:
    """CPU seconds of a thousand answers."""
    spent = run.predict_cpu_seconds
    return 1000 * spent / run.answers if run.answers and spent is not None else None


def _row(entry: Entry, ranks: tuple[int, int] | None, width: float | None) -> Row:
    successes = [run for run in entry.runs if not run.failed]
    memory = [run.peak_memory_bytes for run in successes if run.peak_memory_bytes is not None]
    carried = [max(run.carried_bytes, default=None) for run in successes]
    networks = [4 * run.parameters for run in successes if run.parameters]
    return Row(
        entry=entry,
        ranks=ranks,
        why_unranked=entry.unranked,
        score=estimate([run.value for run in entry.runs], len(entry.runs), width),
        tuning=_tuning(entry.runs),
        train_cpu_seconds=over_known([run.train_cpu_seconds for run in successes]),
        train_flops=over_known([run.train_flops for run in successes]),
        answer_cpu_seconds=over_known(list(map(_answering, successes))),
        train_seconds=_wall(successes),
        energy=by_provenance(successes),
        successes=len(successes),
        peak_memory_bytes=max(memory, default=None),
        carried_bytes=_largest(carried),
        network_bytes=max(networks, default=None),
        isolation=tuple(sorted({run.isolation for run in entry.runs})),
        secondary=_secondary(successes),
    )


def _agree(score: Estimate | None, repeat: Sequence[Run]) -> bool:
    again = estimate([run.value for run in repeat], len(repeat))
    if score is None or again is None:
        return False
    widths = [score.half_width or 0.0, again.half_width or 0.0]
    enough = min(score.known, again.known) >= statistics.MINIMUM_SEEDS
    return enough and abs(score.mean - again.mean) <= min(widths)


def _wall(runs: Sequence[Run]) -> Estimate | None:
    """Wall seconds of training; nothing where a run had to wait for others, which says no more."""
    return (
        None if any(run.contended for run in runs) else over_known([r.train_seconds for r in runs])
    )


def _largest(values: Sequence[int | None]) -> int | None:
    """The largest, where all are known."""
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def _secondary(runs: Sequence[Run]) -> dict[str, Estimate]:
    found = [dict(run.metrics) for run in runs]
    names = sorted({name for run in runs for name, _ in run.metrics if name != run.problem.metric})
    estimates = {name: over_known([metrics.get(name) for metrics in found]) for name in names}
    return {name: value for name, value in estimates.items() if value}


def _tuning(runs: Sequence[Run]) -> Tuning | None:
    """As the newest run states it: all current runs share one setting."""
    if not runs:
        return None
    run = max(runs, key=lambda run: (run.started_at, run.key))
    if run.tuning_runs is None:
        return None
    provenance = run.tuning_energy_provenance or "unknown"
    return Tuning(
        run.tuning_runs,
        run.tuning_failed_runs or 0,
        run.tuning_seconds,
        run.tuning_cpu_seconds,
        run.tuning_energy_joules if provenance != "unknown" else None,
        provenance,
    )


def _failures(scenario: Scenario) -> list[Failures]:
    seeds: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for entry in scenario.entries:
        for run in entry.failures:
            kind = run.failure_kind or "score"
            reason = run.failure_reason or "the run reports success without a finite score"
            seeds[entry.method, entry.protocol, kind, reason].append(run.seed)
    return [
        Failures(scenario.name, *what, seeds=tuple(sorted(numbers)))
        for what, numbers in sorted(seeds.items())
    ]
