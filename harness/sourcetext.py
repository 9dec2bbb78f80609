"""What a Python file says: its tokens without comments, docstrings and layout, and their text.

A method's hash is of the tokens (`fingerprint.of_source`), and what runs of it is the text that
they make: so nothing runs, or can be read by what runs, that the hash does not know.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import HeldoutError

NEWLINE, INDENT, DEDENT = LAYOUT = ("<NEWLINE>", "<INDENT>", "<DEDENT>")
"""Ends and depths of lines: no token of the language reads like these."""
Position = tuple[int, int]
"""Line, from 1, and column, from 0."""


@dataclass(frozen=True)
class SourceText:
    """A file as it runs: one space between its tokens and one statement a line."""

    text: str
    lines: tuple[int, ...]  # of each line of `text`, which line of the file it was; from 1


def read_source(path: Path) -> str:
    """The text of a Python file as Python reads it, coding cookie and byte order mark obeyed."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise HeldoutError(f"cannot read {path}: {error}") from error


def parse(text: str, path: Path) -> ast.Module:
    """The syntax tree of a file's text; HeldoutError with the line where it is no Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HeldoutError(
            f"{path}:{line}: not valid Python ({getattr(error, 'msg', error)}); mend that line"
        ) from error


def meaning(
    text: str, tree: ast.Module, instead: Mapping[ast.AST, Sequence[str]] = MappingProxyType({})
) -> list[str]:
    """The tokens of a source text without comments, docstrings and layout.

    For the statements in `instead` stands what is said there.

    Tokens are compared instead of `ast.unparse`, whose output differs between Python versions. An
    f-string is one token here, as it was before Python 3.12.
    """
    return [token for token, _ in _tokens(text, tree, instead)]


def normalised(text: str, tree: ast.Module) -> SourceText:
    """What runs of a source text: a function of `meaning`, whatever else the file holds.

    A block of nothing but docstrings becomes `pass`.
    """
    tokens = _tokens(text, tree, {})
    written: list[str] = []
    lines: list[int] = []
    statement: list[tuple[str, int]] = []
    depth, bare = 0, False  # whether the block has no statement yet

    def end_statement() -> None:
        written.append(" " * depth + " ".join(token for token, _ in statement) + "\n")
        lines.append(statement[0][1])
        for token, line in statement:
            lines.extend(range(line + 1, line + 1 + token.count("\n")))
        statement.clear()

    for i, (token, line) in enumerate(tokens):
        last = statement[-1][0] if statement else ";"
        if token == INDENT:
            depth, bare = depth + 1, True
        elif token == DEDENT:
            if bare:
                statement.append(("pass", line))
                end_statement()
            depth, bare = depth - 1, False
        elif token == NEWLINE and statement:
            if last == ":" and tokens[i + 1 : i + 2] and tokens[i + 1][0] != INDENT:
                statement.append(("pass", line))
            end_statement()
            bare = False
        elif token != NEWLINE and not (token == ";" and last in (";", ":")):
            statement.append((token, line))
    return SourceText("".join(written), tuple(lines))


def _tokens(
    text: str, tree: ast.Module, instead: Mapping[ast.AST, Sequence[str]]
) -> list[tuple[str, int]]:
    """What `meaning` says, each token with the line on which it begins."""
    lines = text.split("\n")
    spans = [_span(node, lines) for node in _bare_strings(tree)]
    placed = {_span(node, lines): said for node, said in instead.items()}
    found: list[tuple[str, int]] = []
    fstring: list[Position] = []  # where the open ones began
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, line = tokenize.tok_name[token.type], token.start[0]
        if kind in ("COMMENT", "NL", "ENCODING", "ENDMARKER"):
            continue
        if kind != "DEDENT" and any(start <= token.start < end for start, end in spans):
            continue
        within = [span for span in placed if span[0] <= token.start < span[1]]
        if within:
            said = placed[within[0]] if token.start == within[0][0] else ()
            found += [(word, line) for word in said]
            continue
        if kind == "FSTRING_START":
            fstring.append(token.start)
        if kind == "FSTRING_END":
            start = fstring.pop()
            if not fstring:
                found.append((_between(lines, start, token.end), start[0]))
        elif not fstring:
            layout = f"<{kind}>"
            if kind != "NEWLINE" or (found and found[-1][0] not in LAYOUT):
                found.append((layout if layout in LAYOUT else token.string, line))
    return found


def _bare_strings(tree: ast.Module) -> Iterator[ast.Expr]:
    """Every string that stands alone as a statement."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node


def _span(node: Any, lines: list[str]) -> tuple[Position, Position]:
    """(start, end) of a statement, in positions of the tokenizer."""
    last = node.end_lineno or node.lineno
    return (
        (node.lineno, _column(lines[node.lineno - 1], node.col_offset)),
        (last, _column(lines[last - 1], node.end_col_offset or 0)),
    )


def _column(line: str, byte: int) -> int:
    """The parser counts columns in bytes, the tokenizer in characters."""
    return len(line.encode()[:byte].decode())


def _between(lines: list[str], start: Position, end: Position) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "\n".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])
