"""The page of the audit, and the marks that its findings leave on rows of other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from leaderboard import formats, statistics
from leaderboard.auditing.audit import Audit, SuiteAudit
from leaderboard.auditing.finding import Finding
from leaderboard.pages import links, markup
from leaderboard.pages.page import Badge


@dataclass(frozen=True, slots=True)
class Section:
    """One suite of the page."""

    audit: SuiteAudit

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return links.findings(self.audit.suite).partition("#")[2]

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """(heading, findings of that kind)."""
        kinds = groupby(self.audit.findings, lambda finding: finding.heading)
        return [(heading, list(found)) for heading, found in kinds]


def render(audit: Audit) -> str:
    """The page's HTML."""
    template = markup.environment().get_template("audit.html.j2")
    sections = [Section(suite) for suite in audit.suites]
    return template.render(sections=sections, home=links.INDEX, power=f"{statistics.POWER:g}")


def marks(audit: SuiteAudit, scenario: str | None = None) -> Mapping[str, Badge]:
    """By method: the mark of its row on a scenario, or over all of them."""
    found: dict[str, list[Finding]] = {}
    for finding in audit.findings:
        methods = {method for where, method in finding.rows if scenario in (None, where)}
        for method in methods:
            found.setdefault(method, []).append(finding)
    return {method: _mark(audit.suite, findings) for method, findings in found.items()}


def _mark(suite: str, findings: Sequence[Finding]) -> Badge:
    text = formats.quantity(len(findings), "finding")
    return Badge(text, "alert", " ".join(f.text for f in findings), links.findings(suite))
