"""Pages about the site itself: its data, what to cite, its changelog and feed."""

from __future__ import annotations

from collections.abc import Iterable

from harness import __version__
from leaderboard.pages import citation, downloads, links, markup
from leaderboard.standings.history import History
from leaderboard.standings.standings import Standings, SuiteStanding


def render(
    standings: Standings, history: History, cited: Iterable[tuple[str, citation.Paper]]
) -> dict[str, str]:
    """File name -> text of the pages of data and changes, of the feed and the bibliography."""
    template = markup.environment().get_template
    bibtex = citation.bibtex(cited, __version__)
    suites = [
        {
            "name": suite.suite.name,
            "page": links.suite(suite.suite.name),
            "rows": _files(suite),
        }
        for suite in standings.suites
    ]
    return {
        links.DATA: template("data.html.j2").render(suites=suites, bibtex=bibtex),
        links.CHANGELOG: template("changelog.html.j2").render(history=history),
        links.FEED: template("feed.xml.j2").render(history=history),
        links.BIBLIOGRAPHY: bibtex,
    }


def _files(suite: SuiteStanding) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """(what, its page, its files) of a suite, its scenarios and its methods."""
    name = suite.suite.name
    pages = [("The whole suite", links.suite(name), downloads.SUITE)]
    pages += [
        (one.scenario.name, links.scenario(name, one.scenario.name), downloads.SCENARIO)
        for one in suite.scenarios
    ]
    pages += [(m, links.method(name, m), downloads.METHOD) for m in suite.suite.methods]
    return [(what, page, downloads.offered(page, files)) for what, page, files in pages]
