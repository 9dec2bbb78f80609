"""Frozen anchors: the constants that scores are measured between."""

import dataclasses

import pyarrow.parquet as pq
import pytest
from fake_records import runs, write

from harness.errors import HeldoutError
from harness.records.reading import read_table
from heldout_testing import ROOT
from leaderboard.publishing.freeze import freeze
from leaderboard.standings import anchors, board

ALPHA = [0.80, 0.81, 0.82]
SHAPES = (
    runs("alpha", ALPHA)
    + runs("beta", [0.5, 0.51, 0.52])
    + runs("alpha", [0.6, 0.61, 0.62], scenario="circles")
    + runs("beta", [0.7, 0.71, 0.72], scenario="circles")
)


@pytest.fixture
def results(tmp_path):
    return write(tmp_path / "results", SHAPES)


def of(results, scenario="squares"):
    known = {a.scenario: a for a in anchors.read_file(anchors.path(results, "shapes"))}
    return known[scenario]


def test_a_constant_is_the_mean_of_runs_that_it_names(results):
    frozen = freeze(results, "shapes", "alpha", None, "squares:alpha")
    assert [f.changed for f in frozen] == [True, True]
    squares, circles = of(results), of(results, "circles")
    assert (squares.floor.value, squares.floor.method, squares.floor.keys) == (0.1, "", ())
    assert squares.reference.value == pytest.approx(0.81)
    assert (squares.label, circles.label) == ("alpha", "alpha")
    assert circles.reference.value == pytest.approx(0.61)
    assert (circles.ceiling.scenario, circles.ceiling.method) == ("squares", "alpha")
    assert circles.ceiling.value == squares.reference.value
    expected = {r.key for r in SHAPES if (r.spec.scenario, r.spec.method) == ("squares", "alpha")}
    assert set(squares.reference.keys) == expected


def test_the_reference_of_another_scenario_is_called_in_full(results):
    freeze(results, "shapes/circ*", "squares:alpha", "beta", "squares:alpha")
    assert of(results, "circles").label == "squares:alpha"
    assert of(results, "circles").floor.value == pytest.approx(0.71)
    assert len(anchors.read_file(anchors.path(results, "shapes"))) == 1


def test_freezing_the_same_again_changes_nothing_and_others_raise_the_version(results):
    freeze(results, "shapes", "alpha", None, None)
    file = anchors.path(results, "shapes")
    before, stamp = file.read_bytes(), file.stat().st_mtime_ns
    assert [f.changed for f in freeze(results, "shapes", "alpha", None, None)] == [False, False]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, stamp)
    freeze(results, "shapes/squares", "beta", None, None)
    assert (of(results).version, of(results, "circles").version) == (2, 1)
    assert of(results).reference.method == "beta"


@pytest.mark.parametrize("name", ["floor", "reference", "ceiling"])
def test_a_constant_that_was_edited_is_found(name, results):
    """With a digest of its own, as whoever writes the file gives it."""
    freeze(results, "shapes", "alpha", None, "squares:alpha")
    table = read_table(results)[0]
    assert list(anchors.doubts(results, table)) == []
    anchor = of(results)
    value = dataclasses.replace(getattr(anchor, name), value=0.3)
    forged = dataclasses.replace(anchor, **{name: value})
    anchors.write(results, "shapes", [forged, of(results, "circles")])
    (doubt,) = anchors.doubts(results, table)
    assert f"the {name} of shapes/squares is 0.3, but" in doubt
    assert list(anchors.doubts(results, table, ["other"])) == []


def test_a_new_entry_changes_no_frozen_value(results):
    freeze(results, "shapes", "alpha", None, None)
    before = of(results)
    write(results, runs("gamma", [0.99, 0.98, 0.97]) + runs("alpha", [0.1] * 3, first_seed=7))
    assert of(results) == before
    assert [f.changed for f in freeze(results, "shapes/circles", "alpha", None, None)] == [False]


def test_what_reaching_a_target_cost_is_the_median_of_the_reference(tmp_path):
    def reached(seed, **costs):
        (record,) = runs("alpha", [0.8 + seed / 100], first_seed=seed)
        return dataclasses.replace(record, metrics={"average_accuracy": record.score, **costs})

    some = [
        reached(0, **{"seconds_to_0.9": 2.0, "joules_to_0.9": 7.0, "samples_to_0.95": 4.0}),
        reached(1, **{"seconds_to_0.9": 9.0, "joules_to_0.9": 8.0}),
        reached(2, **{"seconds_to_0.9": 4.0}),
    ]
    freeze(write(tmp_path / "results", some), "shapes", "alpha", None, None)
    costs = dict(of(tmp_path / "results").reference_costs)
    assert costs == {"seconds_to_0.9": 4.0, "joules_to_0.9": 8.0}  # one in three reached .95


def test_the_file_is_no_record_and_no_damage(results):
    freeze(results, "shapes", "alpha", None, None)
    table, damaged = read_table(results)
    assert (table.num_rows, damaged) == (len(SHAPES), [])
    odd = write(results, runs("alpha", ALPHA, suite="anchors", scenario="x"))
    (odd / "anchors" / "x").mkdir()
    for file in odd.glob("*.parquet"):
        if file.stem not in {record.key for record in SHAPES}:
            file.rename(odd / "anchors" / "x" / file.name)
    assert read_table(results)[0].num_rows == len(SHAPES) + 3


def test_anchors_fit_only_the_problem_they_were_frozen_for(results):
    freeze(results, "shapes", "alpha", None, None)
    (suite,) = board.read(read_table(results)[0]).suites
    (problem,) = [scenario.problem for scenario in suite.scenarios if scenario.name == "squares"]
    assert of(results).fits(problem)
    assert not of(results).fits(dataclasses.replace(problem, scenario_hash="s2"))
    assert not of(results).fits(dataclasses.replace(problem, data_fingerprint="d2"))


@pytest.mark.parametrize(
    ("place", "reference", "ceiling", "message"),
    [
        ("shape", "alpha", None, 'no run of a suite .*did you mean "shapes"'),
        ("shapes/tri*", "alpha", None, "no evaluated scenario of shapes is called 'tri\\*'"),
        ("shapes", "alfa", None, "of 'alfa' - did you mean \"alpha\".*bench run shapes/"),
        ("shapes", "triangles:alpha", None, "bench run shapes/circles"),
        ("shapes", "alpha", "gamma", "3 held-out evaluation runs of 'gamma'"),
    ],
)
def test_bad_input_says_what_to_type_and_freezes_nothing(
    results, place, reference, ceiling, message
):
    with pytest.raises(HeldoutError, match=message):
        freeze(results, place, reference, None, ceiling)
    assert not (results / "anchors").exists()


def test_constants_need_three_tuned_runs_that_did_not_fail(tmp_path):
    for name, records in {
        "few": runs("alpha", ALPHA[:2]),
        "hand": runs("alpha", ALPHA, protocol="untuned"),
        "usual": runs("alpha", ALPHA, protocol="conventional"),
        "debugging": runs("alpha", ALPHA, isolation="inline"),
    }.items():
        with pytest.raises(HeldoutError, match="has no 3 held-out evaluation runs"):
            freeze(write(tmp_path / name, records), "shapes", "alpha", None, None)
    with pytest.raises(HeldoutError, match="1 of 4 runs of alpha on shapes/squares failed"):
        freeze(write(tmp_path / "f", runs("alpha", [*ALPHA, None])), "shapes", "alpha", None, None)


def test_a_bound_may_be_the_ceiling_and_lasts_until_frozen_without(results):
    frozen = freeze(results, "shapes/squares", "beta", None, "alpha", ["alpha", "alpha"])
    assert [(f.anchor.bounds, f.changed) for f in frozen] == [(("alpha",), True)]
    assert of(results) == frozen[0].anchor
    assert not freeze(results, "shapes/squares", "beta", None, "alpha", ["alpha"])[0].changed
    (again,) = freeze(results, "shapes/squares", "beta", None, "alpha")
    assert (again.anchor.bounds, again.anchor.version) == ((), 2)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("alfa", "names a method 'alfa' to be a bound - did you mean \"alpha\""),
        ("beta", "beta cannot be both the reference and a bound"),
    ],
)
def test_a_bound_is_a_method_that_ran_and_not_the_reference(results, bound, message):
    with pytest.raises(HeldoutError, match=message):
        freeze(results, "shapes", "squares:beta", None, "squares:alpha", [bound])
    assert not (results / "anchors").exists()


def test_a_file_from_before_there_were_bounds_is_read_as_one_without(results):
    freeze(results, "shapes", "alpha", None, "squares:alpha")
    file = anchors.path(results, "shapes")
    now = anchors.read_file(file)
    old = pq.read_table(file).drop_columns(["bounds"])
    pq.write_table(old.replace_schema_metadata({anchors.VERSION_KEY: b"1"}), file)
    assert anchors.read_file(file) == now
    pq.write_table(old.replace_schema_metadata({anchors.VERSION_KEY: b"3"}), file)
    with pytest.raises(HeldoutError, match="version 3 of the file format, not 2"):
        anchors.read_file(file)


def test_the_ceiling_is_better_than_the_floor_in_either_direction(tmp_path):
    low = [dataclasses.replace(r, higher_is_better=False, metric_floor=0.9) for r in SHAPES[:6]]
    results = write(tmp_path / "low", low)
    freeze(results, "shapes", "beta", None, None)
    with pytest.raises(HeldoutError, match="is no better than the floor"):
        freeze(results, "shapes", "alpha", "beta", None)


def test_one_measure_is_not_a_constant_of_another(tmp_path):
    other = runs("gamma", [3.0, 3.1, 3.2], scenario="text", metric_unit="symbols")
    results = write(tmp_path / "results", SHAPES[:3] + other)
    with pytest.raises(HeldoutError, match=r"measures average_accuracy \(symbols\) and"):
        freeze(results, "shapes/text", "squares:alpha", None, None)


def test_a_changed_file_is_refused_and_told(results):
    freeze(results, "shapes", "alpha", None, None)
    file = anchors.path(results, "shapes")
    table = pq.read_table(file)
    changed = table.set_column(
        table.schema.get_field_index("reference_value"), "reference_value", [[0.5, 0.5]]
    )
    pq.write_table(changed, file)
    with pytest.raises(HeldoutError, match="does not match its digest"):
        anchors.read_file(file)
    found, damaged = anchors.read(results)
    assert found == {}
    assert [d.path for d in damaged] == [file]
    with pytest.raises(HeldoutError, match="restore it or delete it"):
        freeze(results, "shapes", "alpha", None, None)


def test_law_7_the_committed_constants_are_means_of_the_committed_runs():
    table, _ = read_table(ROOT / "results")
    found, damaged = anchors.read(ROOT / "results")
    assert damaged == []
    columns = ("key", "scenario", "method", "protocol", "phase", "score")
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    runs_ = {key: rest for key, *rest in rows}
    for anchor in found.values():
        for value in (anchor.floor, anchor.reference, anchor.ceiling):
            known = [runs_[key] for key in value.keys if key in runs_]
            expected = [value.scenario, value.method, "heldout", "evaluation"]
            assert all(rest[:-1] == expected for rest in known)
            if known and len(known) == len(value.keys):  # runs of an older source may be gone
                scores = [rest[-1] for rest in known]
                assert value.value == pytest.approx(sum(scores) / len(scores), rel=1e-12)


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_file_that_is_none_of_ours_is_told(results, content):
    file = anchors.path(results, "shapes")
    file.parent.mkdir()
    file.write_bytes(content)
    assert [d.path for d in anchors.read(results)[1]] == [file]
