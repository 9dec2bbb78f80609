"""Papers: what a method's docstring cites, read from its text, and BibTeX made of that.

A docstring is written for people: a title, a paragraph that cites the paper with authors, year,
title and address, and "Departs from the paper:" before a numbered list. What does not read so is
shown as it stands; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from leaderboard import formats

LIMIT = 20_000
"""Characters of a docstring that are read."""
_NAME = re.compile(r"(?:(?:[A-Z]\w?\.[ -]?){1,5}(?:[a-z]{1,4} ){0,3}[^\W\d_][\w'’-]+|[A-Z]{3,20})$")
_WORK = re.compile(
    r", (?P<year>(?:19|20)\d\d), "
    r"\"(?P<title>[^\"]{2,400})\"(?: \([^()\"]{1,60}\))?,? (?P<url>https?://[^\s,;)\"<>]+[^\s,;:.)\"<>])"
)
_URL = re.compile(r"https?://[^\s,;)\"'<>\[\]{}]+[^\s,;:.)\"'<>\[\]{}]")
_ITEM = re.compile(r"^\s*\d{1,2}\. ", re.M)


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as a docstring cites it."""

    authors: str
    year: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Text, or an address in it."""

    text: str
    url: str  # "" for text


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; `items` where it ends in a numbered list."""

    text: tuple[Piece, ...]
    items: tuple[tuple[Piece, ...], ...]


def papers(doc: str) -> tuple[Paper, ...]:
    """Every paper that the docstring cites in full."""
    found = []
    for block in _blocks(doc):
        for match in _WORK.finditer(block):
            authors = _authors_before(block[max(0, match.start() - 2000) : match.start()])
            if authors:
                found.append(Paper(authors, *match.group("year", "title", "url")))
    return tuple(dict.fromkeys(found))


def _authors_before(text: str) -> str:
    """The names that a text ends in, as they stand; "" where it ends in none."""
    names: list[str] = []
    rest = text.removesuffix(" et al.")
    others = " et al." if rest != text else ""
    for part in reversed(re.split(r", (?:and )?| and ", rest)):
        name = _NAME.search(part[-60:])
        if name is None:
            break
        names.insert(0, name[0])
        if name[0] != part:
            break  # prose leads up to the first name
    return ", ".join(names) + others if names else ""


def paragraphs(doc: str) -> tuple[Paragraph, ...]:
    """The docstring's paragraphs, its numbered lists apart, its addresses as links."""
    return tuple(_paragraph(block) for block in re.split(r"\n\s*\n", doc[:LIMIT]) if block.strip())


def title(doc: str) -> str:
    """The docstring's first paragraph as one line."""
    return (_blocks(doc) or [""])[0]


def _blocks(doc: str) -> list[str]:
    return [" ".join(b.split()) for b in re.split(r"\n\s*\n", doc[:LIMIT]) if b.strip()]


def _paragraph(block: str) -> Paragraph:
    starts = [match.start() for match in _ITEM.finditer(block)]
    lead = block[: starts[0]] if starts else block
    ends = [*starts[1:], len(block)]
    items = tuple(
        _pieces(_ITEM.sub("", block[start:end], count=1))
        for start, end in zip(starts, ends[: len(starts)], strict=True)
    )
    return Paragraph(_pieces(lead), items)


def _pieces(text: str) -> tuple[Piece, ...]:
    line = " ".join(formats.visible(text).split())
    pieces, at = [], 0
    for match in _URL.finditer(line):
        pieces.append(Piece(line[at : match.start()], ""))
        pieces.append(Piece(match[0], match[0]))
        at = match.end()
    return tuple(piece for piece in (*pieces, Piece(line[at:], "")) if piece.text)


def bibtex(cited: Iterable[tuple[str, Paper]], version: str) -> str:
    """The bench itself and the papers of methods, given as (method, paper); one entry a paper."""
    entries = [
        "@software{heldout,\n"
        "  title = {Heldout: a benchmark and evaluation harness for training methods},\n"
        f"  version = {{{_bib(version)}}}\n}}\n"
    ]
    keys: dict[Paper, str] = {}
    for method, paper in sorted(cited, key=lambda pair: (pair[0], pair[1].url)):
        letters = re.sub(r"[^a-z0-9]+", "-", method[:40].lower()).strip("-")
        key = f"{letters or 'method'}-{paper.year}"
        while key in keys.values():
            key += "b"
        if keys.setdefault(paper, key) == key:
            entries.append(
                f"@misc{{{key},\n  author = {{{_authors(paper.authors)}}},\n"
                f"  title = {{{{{_bib(paper.title)}}}}},\n  year = {{{paper.year}}},\n"
                f"  url = {{{_bib_url(paper.url)}}}\n}}\n"
            )
    return "\n".join(entries)


def _authors(text: str) -> str:
    names = [name.strip() for name in re.split(r", and |,? and |, ", text) if name.strip()]
    others = [name.removesuffix(" et al.") for name in names]
    if len(names) != len(others) or any(n != o for n, o in zip(names, others, strict=True)):
        others.append("others")
    return " and ".join(_bib(name) for name in others)


_BIB = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_BIB |= {character: f"\\{character}" for character in "{}&%$#_"}


def _bib(text: str) -> str:
    return "".join(_BIB.get(character, character) for character in formats.visible(text))


def _bib_url(text: str) -> str:
    return re.sub(r"[{}\\\s]", "", formats.visible(text))
