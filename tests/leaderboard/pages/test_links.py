import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HeldoutError
from leaderboard.pages import links

names = st.text() | st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True)


def test_safe_names_stand_in_the_file_name():
    assert links.suite("shapes") == "shapes.html"
    assert links.scenario("shapes", "squares-2") == "scenario-shapes.squares-2.html"
    assert links.method("shapes", "alpha") == "method-shapes.alpha.html"
    assert links.anchor("squares-2") == "scenario-squares-2"


@pytest.mark.parametrize("name", ["index", "gap", "data", "changelog", "A", "a b", "", "x" * 61])
def test_other_names_are_told_apart_by_a_hash(name):
    assert "~" in links.slug(name)


@given(st.lists(st.tuples(names, names), unique=True, max_size=20))
def test_two_things_never_share_a_page(pairs):
    files = [links.INDEX, links.GAP, links.DATA, links.CHANGELOG]
    files += [links.suite(name) for name in {suite for suite, _ in pairs}]
    files += [page(*pair) for page in (links.scenario, links.method) for pair in pairs]
    links.distinct(files)
    assert len(set(files)) == len(files)


def test_a_collision_is_told():
    with pytest.raises(HeldoutError, match=r"called a\.html"):
        links.distinct(["b.html", "A.html", "a.html"])


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_slugs_are_safe_file_names_and_differ(names):
    slugs = [links.slug(name) for name in names]
    assert slugs[0] != slugs[1]
    assert all(re.fullmatch(r"[a-z0-9_~-]{1,60}", slug) for slug in slugs)


def test_no_suite_can_take_the_place_of_the_index_or_leave_the_folder():
    assert links.slug("continual") == "continual"
    assert links.slug("index") != "index"
    assert links.slug("Continual") != links.slug("continual")
    assert "/" not in links.slug("../../etc/passwd")
