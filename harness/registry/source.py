"""What a method's source text says of it, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import HeldoutError
from harness.registry.registry import MethodEntry
from harness.sourcetext import read_source


@dataclass(frozen=True)
class Hyperparameter:
    """One field as it is written."""

    name: str
    type: str
    default: str
    comment: str


@dataclass(frozen=True)
class MethodText:
    """A method's file: docstring, hyper-parameters, search space."""

    doc: str
    hyperparameters: tuple[Hyperparameter, ...]
    space: dict[str, str]
    requires: frozenset[str] | None  # what a scenario must offer; None: not written as a literal
    own_model: bool  # whether it brings its own network; also where that is not plainly denied


def read(entry: MethodEntry) -> MethodText:
    """Read a method's file; what its class has from others in the same file belongs to it."""
    text = read_source(entry.path)
    tree = ast.parse(text)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    class_name = entry.target.rpartition(":")[2]
    if class_name not in classes:
        raise HeldoutError(f"{entry.path} has no class {class_name}")
    doc = "\n\n".join(
        filter(None, (ast.get_docstring(tree), ast.get_docstring(classes[class_name])))
    )
    lines = text.splitlines()
    fields: dict[str, Hyperparameter] = {}
    space: dict[str, str] = {}
    requires: frozenset[str] | None = frozenset()
    known, own_model = True, False
    for part in _line_of_descent(class_name, classes):
        known = known and all(_is_local(base, classes) for base in part.bases)
        for name, node in _attributes(part):
            if name == "space":
                space = _space(node.value)
            elif name == "own_model":
                own_model = not _is_false(node.value)
            elif name == "requires":
                requires = _requires(node.value)
                known = True
            elif isinstance(node, ast.AnnAssign) and not _is_class_variable(node.annotation):
                fields[name] = _field(name, node, lines)
    return MethodText(doc, tuple(fields.values()), space, requires if known else None, own_model)


def _line_of_descent(name: str, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """The class behind those of the same file that it inherits from, as dataclasses take them."""
    found: list[ast.ClassDef] = []
    for base in reversed(classes[name].bases):
        if isinstance(base, ast.Name) and base.id in classes and base.id != name:
            found += [c for c in _line_of_descent(base.id, classes) if c not in found]
    return [*found, classes[name]]


def _is_local(base: ast.expr, classes: dict[str, ast.ClassDef]) -> bool:
    return isinstance(base, ast.Name) and (base.id in classes or base.id == "object")


def _attributes(part: ast.ClassDef) -> Iterator[tuple[str, ast.Assign | ast.AnnAssign]]:
    """The names that a class body binds, each with its statement."""
    for node in part.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign):
                yield target.id, node


def _is_class_variable(annotation: ast.expr) -> bool:
    """ClassVar, ClassVar[...], typing.ClassVar[...], or either as a text."""
    if isinstance(annotation, ast.Constant):
        return str(annotation.value).rpartition("typing.")[2].startswith("ClassVar")
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return ast.unparse(outer).rpartition(".")[2] == "ClassVar"


def _field(name: str, node: ast.AnnAssign, lines: list[str]) -> Hyperparameter:
    line = lines[(node.end_lineno or node.lineno) - 1].encode()  # the parser counts bytes
    comment = line[node.end_col_offset :].decode().strip().lstrip("#").strip()
    default = ast.unparse(node.value) if node.value else ""
    return Hyperparameter(name, ast.unparse(node.annotation), default, comment)


def _space(written: ast.expr | None) -> dict[str, str]:
    """Dimension by name, as `space = {...}` or `space = dict(...)` writes them."""
    if isinstance(written, ast.Dict):
        pairs = zip(written.keys, written.values, strict=True)
        return {str(k.value): ast.unparse(v) for k, v in pairs if isinstance(k, ast.Constant)}
    if isinstance(written, ast.Call) and ast.unparse(written.func) == "dict":
        return {str(k.arg): ast.unparse(k.value) for k in written.keywords if k.arg}
    return {}


def _is_false(written: ast.expr | None) -> bool:
    return isinstance(written, ast.Constant) and not written.value


def _requires(written: ast.expr | None) -> frozenset[str] | None:
    """What `requires = frozenset({...})` says; None where it is not written as a literal."""
    parts = written.args if isinstance(written, ast.Call) else [written] if written else []
    try:
        return frozenset(str(name) for part in parts for name in ast.literal_eval(part))
    except (ValueError, TypeError):
        return None
