"""Templates: how every page is made from its numbers, and what a template may call."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

import jinja2
import markupsafe

from leaderboard import formats
from leaderboard.drawing import plot
from leaderboard.pages import links, page

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """The environment of every page: escapes by itself, and a name that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "name": formats.name,
        "prose": formats.prose,
        "words": formats.words,
        "number": formats.number,
        "measure": formats.measure,
        "fixed": formats.fixed,
        "short": formats.short,
        "short_hash": formats.short_hash,
        "day": formats.day,
        "instant": formats.instant,
        "soft_name": soft_name,
        "visible": formats.visible,
        "setting": formats.setting,
        "scores": formats.scores,
        "signed": formats.signed,
        "count": formats.count,
        "quantity": formats.quantity,
        "seconds": formats.seconds,
        "joules": formats.joules,
        "times": formats.times,
        "memory": formats.memory,
        "numbers": formats.numbers,
        "ranks": formats.ranks,
        "file_name": links.suite,
        "share": formats.share,
    }
    script = (TEMPLATES / "site.js").read_text(encoding="utf-8")
    environment.globals |= {
        "plot": plot,
        "links": links,
        "missing": formats.MISSING,
        "outside": page.outside,
        "script": markupsafe.Markup(script),  # embedded, so that a page stands alone
        "script_hash": _sha256(script),
    }
    return environment


def soft_name(text: str) -> markupsafe.Markup:
    """A name that may break after an underscore."""
    return markupsafe.Markup("_<wbr>").join(markupsafe.escape(formats.name(text)).split("_"))


def _sha256(script: str) -> str:
    """The source expression by which a page allows this one script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
