"""Every equation of a DERIVATION.md is at a line of code and on a test, and the reverse."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILIES = sorted(path.parent.name for path in ROOT.glob("kernels/*/DERIVATION.md"))


def ids(family, text):
    return set(re.findall(rf"{family}\.\d+", text))


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


def on_tests(family):
    found = set()
    for path in ROOT.glob("tests/**/*.py"):
        if path != Path(__file__):
            text = path.read_text()
            if "mark.equation" in text:
                found |= ids(family, text)
    return found


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
