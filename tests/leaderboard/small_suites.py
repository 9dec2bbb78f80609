"""Suites of two scenarios and three methods, and what a leaderboard makes of them."""

from fake_records import runs, table

from leaderboard.pages import front_page
from leaderboard.standings import board, overall, standings
from leaderboard.standings.anchors import Anchor, Value

A, B, C = [0.80, 0.81, 0.82], [0.50, 0.51, 0.53], [0.30, 0.32, 0.31]


def anchor(scenario, lacking=(), scenario_hash="s1", ceiling=0.9, deliverable="", bounds=()):
    """Constants frozen for a scenario; the methods `lacking` do not apply to it."""
    return Anchor(
        suite="shapes",
        scenario=scenario,
        scenario_hash=scenario_hash,
        data_fingerprint="d1",
        version=1,
        floor=Value(0.1),
        reference=Value(0.5, scenario, "beta", ("k",)),
        ceiling=Value(ceiling, scenario, "alpha", ("k",)),
        reference_costs=(),
        deliverable=deliverable,
        not_applicable=tuple((method, "needs corners") for method in lacking),
        bounds=bounds,
    )


def frozen(*anchors):
    return {(a.suite, a.scenario): a for a in anchors}


BOTH = frozen(anchor("circles"), anchor("squares"))


def everywhere(method, scores, scenarios=("circles", "squares"), **changes):
    return [r for name in scenarios for r in runs(method, scores, scenario=name, **changes)]


def suite(records, anchors=BOTH):
    (standing,) = standings.of_board(board.read(table(records)), anchors).suites
    return standing


def of(records, anchors=BOTH):
    return overall.of_suite(suite(records, anchors))


def ranked(found):
    return [[(t.method, t.ranks) for t in d.totals] for d in found.divisions]


def page(records, anchors=BOTH):
    standing = standings.of_board(board.read(table(records)), anchors)
    return front_page.render(standing)["shapes.html"]


THREE = everywhere("alpha", A) + everywhere("beta", B) + everywhere("gamma", C)
