"""Templates: how every page is made from its numbers, and what a template may call."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

from leaderboard import formats, links, plot


@functools.cache
def environment() -> jinja2.Environment:
    """The environment of every page: escapes by itself, and a name that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
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
        "short": formats.short,
        "short_hash": formats.short_hash,
        "visible": formats.visible,
        "setting": formats.setting,
        "signed": formats.signed,
        "count": formats.count,
        "quantity": formats.quantity,
        "seconds": formats.seconds,
        "joules": formats.joules,
        "memory": formats.memory,
        "numbers": formats.numbers,
        "ranks": formats.ranks,
        "file_name": links.suite,
        "share": formats.share,
    }
    environment.globals |= {"plot": plot, "links": links, "missing": formats.MISSING}
    return environment
