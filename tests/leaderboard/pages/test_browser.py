"""The site in a real browser, opened from disk."""

import dataclasses

import pytest
from chromium import PROGRAM, Browser
from fake_records import record, runs, write

from harness.contract import Point
from leaderboard.publishing.build import build

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium here: apt-get install chromium"
)

PAGE = "scenario-shapes.squares.html"
NAMES = (
    "[...document.querySelectorAll('table.standing tbody tr')].filter(r => !r.hidden)"
    ".map(r => r.dataset.name).filter(Boolean).join()"
)
HOSTILE = "<img src=x onerror=alert(1)>'\"‮🦄"


def records():
    scores = {"alpha": 0.8, "beta": 0.5, "gamma": 0.65, HOSTILE: 0.4}
    curve = tuple(Point(0, 10 * i, i, i, i / 10) for i in range(1, 5))
    found = []
    for i, (method, score) in enumerate(scores.items()):
        cost = dataclasses.replace(record().cost, train_cpu_seconds=[3.0, 100.0, 20.0, 0.5][i])
        found += runs(
            method, [score, score + 0.01, score + 0.02], cost=cost, curve=curve,
            quality_matrix=((0.9, 0.1), (0.5, 0.8)),
        )  # fmt: skip
    return found + runs("alpha", [0.9, 0.91, 0.92], protocol="conventional")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    build(write(folder / "results", records()), folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def click(browser, selector, index=0):
    browser.evaluate(f"document.querySelectorAll({selector!r})[{index}].click()")


def sort_by(browser, title):
    browser.evaluate(
        "[...document.querySelectorAll('table.standing th button')]"
        f".find(b => b.textContent.trim() === {title!r}).click()"
    )


def test_every_page_opens_without_a_request_or_a_complaint(browser, site):
    for page in sorted(site.glob("*.html")):
        browser.open(page)
        assert browser.requests() == [page.as_uri()]
        assert browser.complaints() == []
        assert browser.evaluate("document.querySelectorAll('main h1').length") == 1


def test_a_click_sorts_by_the_unrounded_value_and_says_so(browser, site):
    browser.open(site / PAGE)
    built = browser.evaluate(NAMES)
    assert built.startswith("alpha,gamma,beta,")
    sort_by(browser, "CPU time")
    assert browser.evaluate(NAMES).split(",")[1:4] == ["alpha", "gamma", "beta"]
    head = "document.querySelector('table.standing [aria-sort]')"
    assert browser.evaluate(f"{head}.getAttribute('aria-sort')") == "ascending"
    assert browser.evaluate(f"{head}.textContent.trim()") == "CPU time"
    sort_by(browser, "CPU time")
    assert browser.evaluate(NAMES).split(",")[:3] == ["beta", "gamma", "alpha"]
    assert browser.evaluate(f"{head}.getAttribute('aria-sort')") == "descending"
    sort_by(browser, "CPU time")
    assert browser.evaluate(NAMES) == built
    assert browser.evaluate(f"{head}") is None


def test_the_whole_state_stands_in_the_address_and_comes_back(browser, site):
    browser.open(site / PAGE)
    sort_by(browser, "Mean")
    browser.evaluate(
        "(() => { const f = document.querySelector('input[type=search]');"
        "f.value = 'mm'; f.dispatchEvent(new Event('input')); })()"
    )
    click(browser, ".controls > label > input[type=checkbox]")  # the rows tuned the usual way
    browser.evaluate(
        "[...document.querySelectorAll('.choices label')]"
        ".find(l => l.textContent.trim() === 'Memory').querySelector('input').click()"
    )
    fragment = browser.evaluate("location.hash")
    assert "q=mm" in fragment
    assert "off=conventional" in fragment
    assert "hide=Memory" in fragment
    state = browser.evaluate(NAMES)
    assert state == "gamma"
    browser.open(site / PAGE, fragment)
    assert browser.evaluate(NAMES) == state
    assert browser.evaluate("location.hash") == fragment
    assert browser.evaluate("document.querySelector('input[type=search]').value") == "mm"
    hidden = "[...document.querySelectorAll('table.standing thead th[hidden]')]"
    assert browser.evaluate(f"{hidden}.map(h => h.textContent.trim()).join()") == "Memory"
    assert "Filtered view" in browser.evaluate(
        "document.querySelector('[role=status]').textContent"
    )
    assert browser.complaints() == []


def test_a_filter_leaves_the_ranks_as_they_are(browser, site):
    browser.open(site / PAGE, "#?q=beta")
    visible = (
        "[...document.querySelectorAll('table.standing tbody tr')]"
        ".find(r => !r.hidden && r.dataset.name === 'beta').cells[0].textContent.trim()"
    )
    assert browser.evaluate(visible) == "3"


def test_an_anchor_keeps_the_state(browser, site):
    browser.open(site / PAGE, "#?q=beta")
    browser.evaluate("document.querySelector('a[href=\"#data\"]').click()")
    browser.call("Runtime.evaluate", expression="new Promise(r => setTimeout(r, 50))",
                 awaitPromise=True)  # fmt: skip
    assert browser.evaluate("location.hash") == "#data?q=beta"
    assert browser.evaluate(NAMES) == "beta"


@pytest.mark.parametrize("fragment", ["#?sort=9.9.z&sort=0.99.a&sort=x", "#%zz?q=%", "#?off=<b>"])
def test_an_address_that_means_nothing_does_nothing(browser, site, fragment):
    browser.open(site / PAGE, fragment)
    assert browser.complaints() == []


def test_the_page_is_whole_without_the_script(browser, site):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(site / PAGE)
        tree = browser.call("DOM.getDocument", depth=-1)["root"]
        html = browser.call("DOM.getOuterHTML", nodeId=tree["nodeId"])["outerHTML"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "controls" not in html.split("</style>")[1].split("<script>")[0]
    assert "0.8100" in html or "0.810" in html


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser, site, width):
    for page in sorted(site.glob("*.html")):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, page.name


def test_on_paper_there_are_no_controls_and_nothing_is_cut(browser, site):
    width = 1032  # px of A4, landscape, within its margins
    cut = (
        "[...document.querySelectorAll('main *')]"
        ".filter(e => !e.closest('details:not([open])'))"
        f".filter(e => e.getBoundingClientRect().right > {width} + 1"
        " || (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible'"
        " && !e.classList.contains('unseen')))"
        ".map(e => e.tagName + '.' + e.className).join()"
    )
    shown = "[...document.querySelectorAll('.controls, .jump')].some(e => e.offsetHeight > 0)"
    for page in sorted(site.glob("*.html")):
        browser.open(page, width=width)
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.evaluate(shown) is False, page.name
        assert browser.evaluate(cut) == "", page.name
    browser.call("Emulation.setEmulatedMedia", media="")
