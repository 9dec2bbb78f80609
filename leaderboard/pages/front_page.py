"""The front page, and every page that hangs on it: standings in, HTML text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard import formats, statistics
from leaderboard.auditing.audit import NOTHING, Audit
from leaderboard.pages import audit_page, gap_page, links, markup, suite_page
from leaderboard.standings import classes, overall
from leaderboard.standings.board import RANKED_PROTOCOL
from leaderboard.standings.classes import Placed
from leaderboard.standings.history import Entry
from leaderboard.standings.overall import Overall
from leaderboard.standings.standings import Standings, SuiteStanding
from leaderboard.standings.suite_gap import SuiteGap


@dataclass(frozen=True, slots=True)
class Line:
    """A suite's line on the front page."""

    standing: SuiteStanding
    overall: Overall

    @property
    def seeds(self) -> str:
        """Evaluation runs of a method on a scenario, e.g. "5 to 10"."""
        rows = [row for scenario in self.standing.scenarios for row in scenario.rows]
        return formats.between(len(row.entry.runs) for row in rows if row.entry.runs)

    @property
    def complete(self) -> str:
        """How many methods have all that applies to them, e.g. "5 of 6 methods"."""
        totals = {t.method: t for d in self.overall.divisions for t in d.totals}
        totals |= {t.method: t for t in self.overall.unranked if t.protocol == RANKED_PROTOCOL}
        applying = [total for total in totals.values() if total.applicable]
        complete = sum(total.complete for total in applying)
        return f"{complete} of {formats.quantity(len(applying), 'method')}" if applying else ""

    @property
    def best(self) -> list[tuple[str, str]]:
        """(method, rank set) of those that may be first of the largest group."""
        return [(t.method, formats.ranks(*t.ranks)) for t in self.overall.best if t.ranks]

    @property
    def among(self) -> str:
        """Among how many, over how many scenarios."""
        division = self.overall.divisions[0]
        scenarios = formats.quantity(len(division.scenarios), "scenario")
        return f"of {len(division.totals)} over {scenarios}"


def render(
    standings: Standings,
    gaps: Sequence[SuiteGap] = (),
    newest: Entry | None = None,
    audit: Audit = NOTHING,
    placed: Placed | None = None,
) -> dict[str, str]:
    """File name -> HTML: the front page, a page per suite, the audit, and the gap of the suites.

    `newest` is the newest entry of the changelog; `placed` the classes, where they are known.
    """
    placed = classes.of_standings(standings) if placed is None else placed
    lines = [Line(suite, overall.of_suite(suite)) for suite in standings.suites]
    template = markup.environment().get_template
    pages = {
        links.INDEX: template("index.html.j2").render(
            standings=standings,
            lines=lines,
            elsewhere=elsewhere([line.overall for line in lines]),
            home=links.INDEX,
            gaps=gaps,
            gap_page=links.GAP,
            newest=newest,
            audit=audit,
        ),
        links.AUDIT: audit_page.render(audit),
    }
    if gaps:
        pages[links.GAP] = gap_page.render(gaps)
    for line in lines:
        suite = line.standing.suite.name
        pages[links.suite(suite)] = suite_page.render(
            standings, line.standing, line.overall, audit.of(suite), placed[suite]
        )
    links.distinct(pages)
    return pages


def elsewhere(suites: Sequence[Overall]) -> str:
    """What can be said of other scenarios than those here, or that it cannot be said."""
    divisions = [division for suite in suites for division in suite.divisions]
    fewest = statistics.FEWEST_SCENARIOS
    told = [d for d in divisions if d.elsewhere is not None]
    if not told:
        most = max((len(division.scenarios) for division in divisions), default=0)
        return (
            "Whether a method would also be better on other scenarios, or across suites, cannot be "
            f"said here: it takes at least {fewest} scenarios that the same methods cover, and the "
            f"most that any share is {most}."
        )
    differ = sum(division.elsewhere or 0 for division in told)
    pairs = sum(len(d.totals) * (len(d.totals) - 1) // 2 for d in told)
    return (
        f"Of the pairs of methods that share at least {fewest} scenarios, {differ} of {pairs} "
        "differ beyond these scenarios too: signed-rank tests over scenario means, Holm-corrected "
        f"over all pairs of a group at {100 * statistics.ALPHA:g}\u00a0%. Of the others, and "
        "across suites, it cannot be said."
    )
