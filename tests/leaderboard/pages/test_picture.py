"""The picture of a scenario: what it says, that it is SVG, and `bench leaderboard picture`."""

import re
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from fake_records import runs, write

from harness import cli
from harness.errors import HeldoutError
from leaderboard.pages import picture
from leaderboard.publishing.freeze import freeze
from leaderboard.publishing.picture import draw

PLACE = "shapes/squares"
HELDOUT = runs("alpha", [0.80, 0.81, 0.82, 0.81]) + runs("beta", [0.50, 0.51, 0.53, 0.52])
USUAL = runs("alpha", [0.80, 0.81, 0.82, 0.81], protocol="conventional") + runs(
    "beta", [0.70, 0.71, 0.72, 0.73], protocol="conventional"
)


def drawn(folder, records):
    return draw(write(folder / "results", records), PLACE)


def elements(svg, name):
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def texts(svg):
    return [element.text for element in elements(svg, "text")]


def test_it_shows_each_method_with_rank_and_score(tmp_path):
    found = texts(drawn(tmp_path, HELDOUT))
    assert "shapes/squares, 4 seeds, higher is better" in found
    assert found[found.index("alpha") - 1 : found.index("alpha") + 2] == ["1", "alpha", "0.810"]
    assert found[found.index("beta") - 1 : found.index("beta") + 2] == ["2", "beta", "0.515"]
    assert not any("usual" in text or "itself" in text for text in found)


def test_it_shows_what_the_usual_practice_adds_and_to_whom(tmp_path):
    svg = drawn(tmp_path, HELDOUT + USUAL)
    assert "+0.200" in texts(svg)
    assert "Tuned where it is judged: +0.100 on average, beta +0.200." in texts(svg)
    rings = [e for e in elements(svg, "circle") if e.get("class") == "usual"]
    assert len(rings) == 2 + 1  # the methods, and the legend


def test_a_rise_within_what_seeds_explain_is_not_pointed_at(tmp_path):
    noisy = runs("alpha", [0.70, 0.95, 0.76, 0.91], protocol="conventional")
    noisy += runs("beta", [0.50, 0.51, 0.53, 0.52], protocol="conventional")
    svg = drawn(tmp_path, HELDOUT + noisy)
    assert [e for e in elements(svg, "text") if e.get("class") == "told"] == []
    assert "Tuned where it is judged: +0.010 on average." in texts(svg)


def test_a_bound_is_drawn_without_a_rank(tmp_path):
    folder = write(tmp_path / "results", HELDOUT + runs("gamma", [0.91, 0.92, 0.93]))
    freeze(folder, "shapes", "beta", None, None, ("gamma",))
    found = texts(draw(folder, PLACE))
    assert found[found.index("gamma") - 1] == "bound"
    assert found.index("gamma") > found.index("beta")


def test_rank_sets_are_explained_by_one_of_them(tmp_path):
    close = runs("alpha", [0.80, 0.81, 0.82]) + runs("beta", [0.80, 0.82, 0.81])
    assert "1–2: every rank that the tests leave open. Lines: 95 % intervals." in texts(
        drawn(tmp_path, close)
    )
    assert "Lines: 95 % intervals." in texts(drawn(tmp_path / "apart", HELDOUT))


def test_the_same_records_give_the_same_bytes_wherever_they_lie(tmp_path):
    assert drawn(tmp_path / "one", HELDOUT + USUAL) == drawn(tmp_path / "two", USUAL + HELDOUT)


def test_a_name_cannot_leave_its_place(tmp_path):
    hostile, long = "</text><script>alert(1)</script>", "m" * 70
    svg = drawn(tmp_path, runs(hostile, [0.8] * 3) + runs(long, [0.5, 0.6, 0.7]))
    assert elements(svg, "script") == []
    assert max(len(text) for text in texts(svg) if text.startswith("m")) == picture.LONGEST


def test_everything_is_drawn_inside(tmp_path):
    svg = drawn(tmp_path, HELDOUT + USUAL)
    height = int(ElementTree.fromstring(svg).get("height"))
    for element in (e for name in ("circle", "text", "line") for e in elements(svg, name)):
        across = [float(element.get(k)) for k in ("x", "x1", "x2", "cx") if element.get(k)]
        down = [float(element.get(k)) for k in ("y", "y1", "y2", "cy") if element.get(k)]
        assert all(0 <= x <= picture.WIDTH for x in across)
        assert all(0 <= y <= height for y in down)


@pytest.mark.parametrize("scheme", [0, 1])
def test_its_colours_are_those_of_the_site_in_light_and_dark(tmp_path, scheme):
    blocks = re.findall(r":root \{(.*?)\}", drawn(tmp_path, HELDOUT))
    colours = picture.palette(scheme)
    assert tuple(colours) == picture.COLOURS
    assert all(f"--{name}: {colour};" in blocks[scheme] for name, colour in colours.items())
    assert picture.palette(0) != picture.palette(1)


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command line within this process, in the folder that holds `results`."""
    write(tmp_path / "results", HELDOUT)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(
        cli.bench, ["leaderboard", "picture", *arguments], standalone_mode=False
    )


def test_the_command_writes_the_file_and_replaces_it(call, tmp_path):
    out = tmp_path / "drawn.svg"
    out.write_text("older")
    done = call(PLACE, "--out", "drawn.svg")
    assert done.return_value == 0
    assert done.output == f"{PLACE} -> {out}\n"
    assert out.read_text() == draw(tmp_path / "results", PLACE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((PLACE, "--out", "drawn.png"), "the file ends in .svg"),
        ((PLACE, "--out", "no/such/drawn.svg"), "choose another place with --out FILE"),
        (("shapes/circels",), "no evaluation run of a scenario 'shapes/circels'"),
        (("shapes",), "no evaluation run of a scenario 'shapes'"),
        (("shape/squares",), 'did you mean "shapes"?'),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(call, arguments, told):
    done = call(*arguments)
    assert isinstance(done.exception, HeldoutError)
    assert told in str(done.exception)


def test_a_scenario_on_which_nothing_is_ranked_has_no_picture(tmp_path):
    with pytest.raises(HeldoutError, match="nothing is ranked on shapes/squares; see: bench"):
        drawn(tmp_path, runs("alpha", [0.8, 0.9]))
