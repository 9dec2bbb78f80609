"""The pages of scenarios and methods, built from results on disk."""

import dataclasses
import re

import pytest
from fake_records import SELECTION, record, runs, write
from outline import check

from harness.contract import Point
from harness.records.record import Failure
from harness.records.store import Store
from harness.registry import description
from harness.registry.description import Description, Field
from leaderboard.drawing.panels import MOST
from leaderboard.pages import method_page
from leaderboard.publishing import build

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "{{ 7 * 7 }}{% raw %}",
    "</style></table></html><!--",
    "er 🦄 \u202egnp.exe اختبار",
    "null\x00byte\r\n\x1b[31m \ufffe",
    "x" * 10_000,
    "",
    "../../../tmp/evil",
    "javascript:alert(1) https://example.org/<b>",
]
DOC = """Alpha learns.

A. Author, B. de Writer, 2020, "On Learning", https://example.org/paper.

Departs from the paper:
1. It has one layer; the paper
   has two.
2. Nothing else.
"""


def curve(*quality):
    return tuple(Point(0, 10 * (i + 1), 1.0 + i, 1.0 + i, q) for i, q in enumerate(quality))


def tuned(method, scores, trials=4, **changes):
    """Tuning runs, and evaluation runs whose selection names them."""
    tuning = [
        record(0.1 * t + 0.01 * s, method=method, phase="tuning", trial=t, seed=1_000_000 + s,
               setting={"lr": 10.0 ** -t, "kind": "ab"[t % 2]}, **changes)
        for t in range(trials)
        for s in range(2)
    ]  # fmt: skip
    chosen = {"lr": 10.0 ** -(trials - 1), "kind": "ab"[(trials - 1) % 2]}
    keys = tuple(one.key for one in tuning)
    selection = dataclasses.replace(SELECTION, setting=chosen, tuning_keys=keys)
    return tuning + runs(method, scores, setting=chosen, selection=selection, **changes)


def site(tmp_path, records, *descriptions):
    results = write(tmp_path / "results", records)
    (results / "heldout.json").write_text("{}")
    for each in descriptions:
        description.write(Store.open(results).root, each)
    files, _built = build.site(results, None)
    return {name: content.decode() for name, content in files.items() if name.endswith(".html")}


def words(html):
    return " ".join(" ".join(check(html).text).split())


@pytest.fixture
def stream(tmp_path):
    """Two methods on a stream of two tasks, with curves, matrices and targets."""
    records = []
    for method, gain in (("alpha", 0.0), ("beta", 0.1)):
        for seed in range(3):
            q = 0.5 + gain + seed / 100
            records.append(
                record(
                    q, method=method, seed=seed, curve=curve(0.2, q - 0.1, q),
                    quality_matrix=((0.9, 0.1), (q, 0.8)),
                    metrics={"average_accuracy": q}
                    | ({"seconds_to_0.55": 9.0, "cpu_seconds_to_0.55": 2.0 + seed} if q > 0.55
                       else {}),
                )
            )  # fmt: skip
    return site(tmp_path, records)


def test_a_scenario_has_curves_matrix_costs_and_targets(stream):
    html = stream["scenario-shapes.squares.html"]
    text = words(html)
    for part in ("Learning curves", "Accuracy matrix", "Quality and cost", "Cost to reach a target",
                 "CPU time of training"):  # fmt: skip
        assert part in text
    assert "alpha: 0.200 at 10 samples, 0.510 at 30; 3 seeds" in html
    tables = check(html).tables
    heat = next(t for t in tables if "alpha" in t["caption"] and "3 seeds" in t["caption"])
    assert [[c[2] for c in row] for row in heat["rows"]] == [
        ["after", "test 1", "test 2"],
        ["1", "0.900", "0.100"],
        ["2", "0.510", "0.800"],
    ]
    targets = next(t for t in tables if "reached each target" in t["caption"])
    cells = {row[0][2].strip(): [c[2].strip() for c in row[1:]] for row in targets["rows"]}
    assert cells["beta"] == ["3 of 3", "3"]
    assert cells["alpha"] == ["0 of 3", "not reached"]


def test_curves_of_a_metric_where_low_is_good_say_so(tmp_path):
    low = {"metric": "loss", "higher_is_better": False, "curve": curve(3.0, 2.0, 1.0)}
    pages = site(tmp_path, runs("alpha", [1.0, 1.1, 1.2], **low))
    assert "Up: the metric, lower is better." in pages["scenario-shapes.squares.html"]


def test_only_matrices_that_exist_are_left_out(tmp_path):
    square = ((0.9, 0.1), (0.5, 0.8))
    records = [record(0.5, method=f"m{i:02}", quality_matrix=square) for i in range(MOST + 2)]
    records += [record(0.5, method=f"n{i}", quality_matrix=((0.5,),)) for i in range(3)]
    records += [record(0.5, method=f"o{i}", scenario="circles") for i in range(4)]
    html = site(tmp_path, records)["scenario-shapes.squares.html"]
    assert html.count('table class="heat"') == MOST
    assert "The first rows of the standing; 2 are left out." in html


def test_a_method_shows_its_text_settings_trials_and_runs(tmp_path):
    text = Description(
        "alpha", "m1", DOC, "baselines/alpha.py", "https://example.org/bench",
        (Field("lr", "float", "0.1", "step size", "LogUniform(0.01, 1)"),),
    )  # fmt: skip
    pages = site(tmp_path, tuned("alpha", [0.8, 0.81, 0.82]), text)
    html = pages["method-shapes.alpha.html"]
    shown = words(html)
    for part in ("Alpha learns.", "It has one layer; the paper has two.", "LogUniform(0.01, 1)",
                 "step size", "3 evaluation runs", "8 tuning runs", "All 4 trials"):  # fmt: skip
        assert part in shown
    assert '<a href="https://example.org/paper" rel="noreferrer">' in html
    tables = check(html).tables
    settings = next(t for t in tables if "setting used" in t["caption"])
    assert [c[2].strip() for c in settings["rows"][1]] == ["squares", "b", "0.001"]
    trials = next(t for t in tables if "Trials of" in t["caption"])
    assert [row[0][2].strip() for row in trials["rows"][1:]] == ["0", "1", "2", "3 chosen"]
    assert html.count('circle class="mean"') == 2  # one per searched hyper-parameter
    runs_table = next(t for t in tables if "Evaluation runs" in t["caption"])
    assert len(runs_table["rows"]) == 4


def test_reproductions_are_not_counted_as_tuning(tmp_path):
    reproduced = runs("beta", [0.5] * 3, phase="reproduction", protocol="untuned", scenario="lines")
    pages = site(tmp_path, [*tuned("beta", [0.8, 0.81, 0.82]), *reproduced])
    text = words(pages["method-shapes.beta.html"])
    assert "3 evaluation runs; 8 tuning runs; 3 reproduction runs, never ranked." in text
    assert "<bdi>lines</bdi>: no evaluation run is stored" in pages["shapes.html"]
    (suites, *_) = check(pages["index.html"]).tables
    assert suites["rows"][1][2][2] == "1"  # scenarios with an evaluation run


def test_a_source_link_needs_a_clean_commit(tmp_path):
    text = Description("alpha", "m1", DOC, "a/b.py", "https://example.org/bench", ())
    commit = "c" * 40
    machine = dataclasses.replace(record().machine, git_commit=commit, git_dirty=False)
    pages = site(tmp_path / "clean", runs("alpha", [0.5] * 3, machine=machine), text)
    assert f"https://example.org/bench/blob/{commit}/a/b.py" in pages["method-shapes.alpha.html"]
    machine = dataclasses.replace(machine, git_dirty=True)
    pages = site(tmp_path / "changed", runs("alpha", [0.5] * 3, machine=machine), text)
    assert "/blob/" not in pages["method-shapes.alpha.html"]


def test_a_description_of_another_source_is_not_shown(tmp_path):
    text = Description("alpha", "an older hash", DOC, "", "", ())
    html = site(tmp_path, runs("alpha", [0.5] * 3), text)["method-shapes.alpha.html"]
    assert "Alpha learns" not in html
    assert "bench leaderboard describe" in html


def test_failures_show_the_end_of_their_log(tmp_path):
    log = "\n".join(f"line {i}" for i in range(100)) + "\n<b>boom</b>"
    failed = record(None, seed=9, failure=Failure("exception", "ValueError: no", log))
    html = site(tmp_path, [*runs("alpha", [0.5] * 3), failed])["method-shapes.alpha.html"]
    assert "&lt;b&gt;boom&lt;/b&gt;" in html
    assert "line 99" in html
    assert "line 5\n" not in html
    assert "ValueError: no" in words(html)


def test_a_page_of_many_runs_is_bounded(tmp_path):
    many = [r for n in range(80) for r in runs("alpha", [0.5, 0.6, 0.7], scenario=f"s{n:02}")]
    many += [
        record(None, seed=s, failure=Failure("exception", f"ValueError: {s}")) for s in range(50)
    ]
    html = site(tmp_path, many)["method-shapes.alpha.html"]
    table = next(t for t in check(html).tables if "Evaluation runs" in t["caption"])
    assert len(table["rows"]) == method_page.RUNS_SHOWN + 1
    assert html.count("<details>") == method_page.FAILURES_SHOWN
    assert "290 evaluation runs, 200 of them here" in words(html)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_nothing_on_any_page(tmp_path, text):
    setting = {text or "x": text, "y": 1}
    name = text[:100]  # of a folder of the results: not what is tested here
    hostile = [
        *tuned(text, [0.5, 0.6, 0.7], suite=text, scenario=text, metric=text or "m"),
        record(None, method=text, suite=text, scenario=text, seed=5,
               failure=Failure(text or "x", text * 3, text * 5)),
        *runs(text, [0.3, 0.4], setting=setting, selection=None, protocol=name, isolation=text,
              metrics={text or "m": 1.0, f"seconds_to_{name}": 1.0}, started_at=text),
        *runs("alpha", [0.3, 0.4, 0.5], machine=dataclasses.replace(
            record().machine, host=text, cpu=text, git_commit=text, git_dirty=False)),
    ]  # fmt: skip
    told = Description("alpha", "m1", text * 2 + "\n\n" + text, text, text,
                       (Field(text, text, text, text, text),))  # fmt: skip
    pages = site(tmp_path, hostile, told)
    assert len(pages) > 8
    for html in pages.values():
        check(html)
        assert len(html) < 200_000
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ufffe]", html)


def test_damaged_files_are_listed_and_not_fatal(tmp_path):
    results = write(tmp_path / "results", runs("alpha", [0.5, 0.6, 0.7]))
    (results / "methods").mkdir()
    (results / "methods" / "alpha-1.parquet").write_bytes(b"no parquet")
    (results / "half.parquet").write_bytes(b"PAR1 half")
    files, built = build.site(results, None)
    assert built.damaged == 2
    index = files["index.html"].decode()
    assert "methods/alpha-1.parquet" in index
    assert "half.parquet" in index
