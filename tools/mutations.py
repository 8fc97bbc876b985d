"""The small changes that make mutants of a file: where they are possible, and what they make."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
OTHER_CALL = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Nothing runs in these: types, names of attributes, and f-strings, in which Python 3.11 does not
# know where an expression is.
SKIPPED = (ast.JoinedStr,)
MAX_WORDS = 90


class Change(NamedTuple):
    """Replace bytes of a file. `inside`: the class and function; `code`: the line, stripped."""

    start: int
    end: int
    new: str
    line: int
    inside: str
    code: str
    words: str

    def apply(self, text: str) -> str:
        """Return the text of the file with the change."""
        raw = text.encode()
        return (raw[: self.start] + self.new.encode() + raw[self.end :]).decode()


def shortened(code: str) -> str:
    """Return code on one line of bounded length."""
    line = " ".join(code.split())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}..."


def changes_of(text: str) -> list[Change]:
    """Return every change that can be made in a file, in the order of the text."""
    starts, raw = [0], text.encode()
    lines = raw.splitlines(keepends=True)
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node, inside in _nodes(ast.parse(text), ""):
        changed = _changed(node)
        if changed is None:
            continue
        place, new = changed
        start = starts[place.lineno - 1] + place.col_offset
        end = starts[place.end_lineno - 1] + place.end_col_offset
        words = f"{shortened(raw[start:end].decode())}  ->  {shortened(new)}"
        code = lines[place.lineno - 1].decode().strip()
        found.append(Change(start, end, new, place.lineno, inside, code, words))
    return sorted(found)


def _nodes(node: ast.AST, inside: str) -> Iterator[tuple[ast.AST, str]]:
    """Walk what runs, with the name of the function around it."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        inside = f"{inside}.{node.name}".lstrip(".")
    yield node, inside
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or _is_slots(node):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, SKIPPED):
                yield from _nodes(child, inside)


def _is_slots(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__slots__"
    )


def _changed(node: ast.AST) -> tuple[ast.expr | ast.stmt, str] | None:
    """Return what to replace and the new text; None if the node is not changed."""
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in COMPARISONS:
            return node, _text(node, ops=[COMPARISONS[type(op)](), *node.ops[1:]])
        case ast.BoolOp(op=op):
            return node, _text(node, op=ast.And() if isinstance(op, ast.Or) else ast.Or())
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            return test, f"(not ({ast.unparse(test)}))"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return node, f"bool({ast.unparse(operand)})"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            return node, _text(node, op=ARITHMETIC[type(op)]())
        case ast.Constant(value=bool() as value):
            return node, str(not value)
        case ast.Constant(value=int() | float() as value):
            return node, repr(value * 2 if value else 1)
        case ast.Set(elts=[_, *rest]) if rest:
            return node, _text(node, elts=rest)
        case ast.Call(func=ast.Name(id="frozenset"), args=[ast.Tuple(elts=[_, *rest])]) if rest:
            return node, f"frozenset(({', '.join(map(ast.unparse, rest))},))"
        case ast.Call(func=ast.Name(id=name)) if name in OTHER_CALL:
            return node.func, OTHER_CALL[name]
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            return node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return node, "pass"
    return None


def _text(node: ast.expr, **fields: object) -> str:
    """Return the source of a node with other fields."""
    original = {name: getattr(node, name) for name in node._fields}
    return f"({ast.unparse(type(node)(**(original | fields)))})"
