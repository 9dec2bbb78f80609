"""Where everything stands: the file name of each page. Pure; the one place that names files.

A name is untrusted, so it goes through `slug`, which leaves letters, digits, dashes and
underscores. The dot and the tilde occur in no name that `slug` lets pass as it is: a dot sets suite
and name apart, a tilde the hash of a name that had to be rewritten. Two things therefore never
share a page, which `distinct` checks once more for the whole site.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from harness.errors import HeldoutError

INDEX, GAP, DATA, CHANGELOG = "index.html", "gap.html", "data.html", "changelog.html"
AUDIT = "audit.html"
FEED, BIBLIOGRAPHY, HISTORY = "feed.xml", "heldout.bib", "history.json"
_TAKEN = frozenset(page.removesuffix(".html") for page in (INDEX, GAP, DATA, CHANGELOG, AUDIT))


def suite(name: str) -> str:
    """The page of a suite."""
    return f"{slug(name)}.html"


def scenario(suite: str, name: str) -> str:
    """The page of a scenario of a suite."""
    return f"scenario-{slug(suite)}.{slug(name)}.html"


def method(suite: str, name: str) -> str:
    """The page of a method in a suite: one name may be two methods in two suites."""
    return f"method-{slug(suite)}.{slug(name)}.html"


def anchor(scenario: str) -> str:
    """The place of a scenario on its suite's page."""
    return f"scenario-{slug(scenario)}"


def findings(suite: str) -> str:
    """The place of a suite on the page of the audit."""
    return f"{AUDIT}#suite-{slug(suite)}"


def slug(text: str) -> str:
    """A name as a file name or anchor: itself where that is safe, else its letters and a hash.

    The tilde occurs in no safe name, so that two names never share a slug.
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", text) and text not in _TAKEN:
        return text
    letters = re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")
    return f"{letters}~{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"


def distinct(files: Iterable[str]) -> None:
    """Raise HeldoutError where two pages would have one file name, whatever the case of letters."""
    seen: set[str] = set()
    for file in files:
        if file.lower() in seen:
            raise HeldoutError(
                f"two pages of the site would be called {file}; rename one of the suites, "
                "scenarios or methods behind it"
            )
        seen.add(file.lower())
