"""The page of the audit and the marks of its findings on other pages; law 12."""

import pytest
from fake_records import runs, write
from outline import check

from leaderboard.publishing.build import build

HOSTILE = [
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "er \u202egnp.exe",
    "",
    "../../etc",
    "x" * 900,
]


def site(folder, records):
    build(write(folder / "results", records), folder / "site")
    return {path.name: path.read_text() for path in (folder / "site").glob("*.html")}


def contended(suite="shapes", method="alpha", **changes):
    """A method that fails once, on a board whose energy is estimated."""
    return runs(method, [0.8, None, 0.82], suite=suite, **changes) + runs(
        "beta", [0.5, 0.52, 0.51], suite=suite
    )


def test_findings_are_linked_from_every_page_that_ranks(tmp_path):
    pages = site(tmp_path, contended())
    audit = pages["audit.html"]
    check(audit)
    assert "1 of 6 runs failed and count as the floor: alpha 1." in audit
    (suites, *_) = check(pages["index.html"]).tables
    count = suites["rows"][1][-1][2]
    assert int(count) == audit.count("<li>") > 0
    assert f'<a href="audit.html#suite-shapes">{count} open findings</a>' in pages["shapes.html"]
    assert 'id="suite-shapes"' in audit
    assert 'href="audit.html"' in pages["scenario-shapes.squares.html"]  # the footer


def test_a_row_carries_its_findings_and_no_others(tmp_path):
    html = site(tmp_path, contended())["shapes.html"]
    rows = {row[1][2].split()[0]: row for row in check(html).tables[0]["rows"] if len(row) > 2}
    assert "2 findings" in rows["alpha"][1][2]
    assert "finding" not in rows["beta"][1][2]
    assert 'squares: 1 of 6 runs failed and count as the floor: alpha 1."' in html  # its title
    assert "squares: alpha does not end above a method that learns nothing" in html


def test_a_board_of_nothing_has_a_page(tmp_path):
    audit = site(tmp_path, [])["audit.html"]
    check(audit)
    assert "<li>" not in audit


def test_a_suite_called_audit_keeps_a_page_of_its_own(tmp_path):
    pages = site(tmp_path, contended(suite="audit"))
    assert "The audit – Heldout" in pages["audit.html"]
    assert sum("<title>audit – Heldout</title>" in html for html in pages.values()) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_names_do_nothing_there(tmp_path, text):
    pages = site(tmp_path, contended(suite=text or "s", method=text or "m", scenario=text or "c"))
    for html in pages.values():
        check(html)
        assert "<script>alert" not in html
    assert "49" not in pages["audit.html"].split("<main>")[1].split("</main>")[0]
