"""Mutants of a reference.py, by its syntax tree."""

import ast
import copy
from typing import NamedTuple

# Arguments of these are sizes and axes, not numbers that are differentiated.
SIZES = {
    "arange", "broadcast_to", "empty", "len", "moveaxis", "ones", "range", "reshape", "slice",
    "swapaxes", "transpose", "zeros",
}  # fmt: skip


class Mutant(NamedTuple):
    file: str
    line: int
    code: str  # the line, as it stands
    change: str
    source: str  # of the whole mutated module


AXES = {"axis", "axes", "dtype", "keepdims", "shape"}


def doubled(node):
    return ast.BinOp(ast.Constant(2), ast.Mult(), node)


def changes(node, parent, has_id):
    """(what is changed, the node that takes its place)"""
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            minus = isinstance(op, ast.Sub)
            flipped = ast.Add() if minus else ast.Sub()
            yield "sign flipped", ast.BinOp(left, flipped, right)
            yield "right term dropped", left
            yield "left term dropped", ast.UnaryOp(ast.USub(), right) if minus else right
        case ast.BinOp(left, ast.Mult(), right):
            yield "left factor dropped", right
            yield "right factor dropped", left
        case ast.BinOp(left, ast.Div(), _):
            yield "divisor dropped", left
        case ast.BinOp(left, ast.Pow(), _):
            yield "power dropped", left
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign dropped", operand
        case ast.AugAssign(target, ast.Add() | ast.Sub() as op, value):
            flipped = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
            yield "sign flipped", ast.AugAssign(target, flipped, value)
            yield "term dropped", ast.Pass()
        case ast.AugAssign(_, ast.Mult() | ast.Div(), _):
            yield "factor dropped", ast.Pass()
        case ast.Call(func, [first, *rest], keywords) if any(k.arg == "out" for k in keywords):
            yield "argument doubled", ast.Call(func, [doubled(first), *rest], keywords)
        case ast.Assign(targets, ast.Call() | ast.Name() as value) if has_id:
            yield "doubled", ast.Assign(targets, doubled(value))
        case ast.Return(ast.Call() as value) if has_id:
            yield "doubled", ast.Return(doubled(value))
    products = ast.Mult | ast.Div | ast.MatMult
    inside = isinstance(parent, ast.BinOp) and isinstance(parent.op, products)
    if isinstance(node, ast.BinOp) and isinstance(node.op, products) and not inside:
        yield "doubled", doubled(node)


def sites(node, parent=None):
    """(node, its parent) for everything that computes numbers."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments | ast.AnnAssign):
        if not (isinstance(node, ast.AnnAssign) and node.value is not None):
            return
        node = node.value
    yield node, parent
    for name, value in ast.iter_fields(node):
        if name in ("slice", "returns", "annotation", "decorator_list"):
            continue
        called = node.func if isinstance(node, ast.Call) else None
        named = getattr(called, "attr", getattr(called, "id", ""))
        if name in ("args", "keywords") and named in SIZES:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and getattr(child, "arg", "") not in AXES:
                yield from sites(child, node)


class Replace(ast.NodeTransformer):
    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else super().generic_visit(node)


def python_mutants(file, text):
    tree = ast.parse(text)
    lines = text.splitlines()
    family = file.parent.name
    for node, parent in list(sites(tree)):
        line = getattr(node, "lineno", 0)
        if not line:
            continue
        has_id = any(f"[{family}." in text for text in lines[line - 1 : node.end_lineno])
        for change, new in changes(node, parent, has_id):
            # Same nodes in a copy of the tree, found by walking both alike.
            memo = {}
            whole = copy.deepcopy(tree, memo)
            old = memo[id(node)]
            mutated = Replace(old, ast.copy_location(copy.deepcopy(new), old)).visit(whole)
            source = ast.unparse(ast.fix_missing_locations(mutated))
            yield Mutant(str(file), line, lines[line - 1].strip(), change, source)
