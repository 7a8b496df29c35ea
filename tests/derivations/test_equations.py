"""Every equation of a DERIVATION.md is at a line of code and on a test, and the reverse."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILIES = sorted(path.parent.name for path in ROOT.glob("kernels/*/DERIVATION.md"))


def derived(family):
    """Equations are numbered in bold, **[family.3]**, or by a tag in math, \\tag{family.3}."""
    text = (ROOT / "kernels" / family / "DERIVATION.md").read_text()
    return set(re.findall(rf"(?:\*\*\[|\\tag\{{)({family}\.\d+)(?:\]\*\*|\}})", text))


def in_code(family):
    found = set()
    for path in [ROOT / "kernels" / family / "reference.py", *ROOT.glob(f"csrc/{family}/*_math.h")]:
        for comment in re.findall(r"(?:#|//)(.*)", path.read_text()):
            found |= set(re.findall(rf"\[({family}\.\d+)\]", comment))
    return found


def marked(text):
    """The ids that decorate test functions: @pytest.mark.equation("a.1", *A_LIST_OF_THE_MODULE)."""
    tree = ast.parse(text)
    lists = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            lists |= {ast.unparse(name): node.value for name in node.targets}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                for argument in mark.args:
                    if isinstance(argument, ast.Starred):
                        argument = lists[ast.unparse(argument.value)]
                    value = ast.literal_eval(argument)
                    found |= {value} if isinstance(value, str) else set(value)
    return found


def of_cases(family):
    """EQUATIONS of a table entry: every test of the harness is marked with them."""
    path = ROOT / "tests" / "kernels" / "cases" / f"{family}.py"
    if not path.exists():
        return set()
    lists = {
        ast.unparse(node.targets[0]): node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
    }
    return set(ast.literal_eval(lists["EQUATIONS"]))


def on_tests(family):
    found = of_cases(family)
    for path in ROOT.glob("tests/**/test_*.py"):
        found |= {i for i in marked(path.read_text()) if i.startswith(f"{family}.")}
    return found


def test_only_decorators_of_tests_count():
    text = '''
import pytest
SOME = ["op.3", "op.4"]
OTHERS = ["op.5"]
# @pytest.mark.equation("op.6")
NAME = "op.7"

@pytest.mark.equation("op.1", "op.2")  # [op.8]
@pytest.mark.equation(*SOME)
@pytest.mark.parametrize("id", ["op.9"])
def test_it():
    """Proves op.10."""
    pytest.mark.equation("op.11")

@pytest.mark.equation("op.12")
def helper():
    pass
'''
    assert marked(text) == {"op.1", "op.2", "op.3", "op.4"}


def test_there_are_derivations():
    assert len(FAMILIES) >= 6
    folders = {path.parent.name for path in ROOT.glob("kernels/*/reference.py")}
    assert folders == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_derivation_code_and_tests_name_the_same_equations(family):
    equations = derived(family)
    assert equations, "no equation is numbered"
    assert in_code(family) == equations
    assert on_tests(family) == equations
