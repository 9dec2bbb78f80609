"""What a method's source text says of it, without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from harness.errors import HeldoutError
from harness.registry.registry import MethodEntry


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


def read(entry: MethodEntry) -> MethodText:
    """Read a method's file."""
    text = entry.path.read_text(encoding="utf-8-sig")
    tree = ast.parse(text)
    class_name = entry.target.rpartition(":")[2]
    found = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name]
    if not found:
        raise HeldoutError(f"{entry.path} has no class {class_name}")
    doc = "\n\n".join(filter(None, (ast.get_docstring(tree), ast.get_docstring(found[0]))))
    lines = text.splitlines()
    fields, space = [], {}
    for node in found[0].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            after = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset :]
            fields.append(
                Hyperparameter(
                    node.target.id,
                    ast.unparse(node.annotation),
                    ast.unparse(node.value) if node.value else "",
                    after.strip().lstrip("#").strip(),
                )
            )
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            if names == ["space"]:
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    if isinstance(key, ast.Constant):
                        space[str(key.value)] = ast.unparse(value)
    return MethodText(doc, tuple(fields), space, _requires(found[0]))


def _requires(method: ast.ClassDef) -> frozenset[str] | None:
    """What `requires = frozenset({...})` says; nothing where it is left out."""
    for node in method.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "requires":
            written = node.value.args if isinstance(node.value, ast.Call) else [node.value]
            try:
                return frozenset(str(name) for part in written for name in ast.literal_eval(part))
            except ValueError:
                return None
    return None if method.bases else frozenset()
