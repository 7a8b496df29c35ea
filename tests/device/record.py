"""Which names of CuPy the double has, and with which parameters CuPy has them.

``python -m tests.device.record`` writes signatures.json anew, from the CuPy that is installed.
A signature is in Python's own words; ``...`` stands for a default, whatever it is.
"""

import inspect
import json
import sys
from importlib import import_module
from pathlib import Path

PATH = Path(__file__).with_name("signatures.json")


def recorded():
    return json.loads(PATH.read_text())


def describe(cupy, names):
    """{name: signature, or "" where it is no function} as this CuPy has them."""
    found = {}
    for name in names:
        target = cupy
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            found[name] = "missing"
        else:
            found[name] = signature(target) if callable(target) else ""
    return found


def signature(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # compiled: the first line of the text says it
        return from_text(function.__doc__ or "")
    words, star = [], False
    for p in parameters:
        star = star or p.kind is p.VAR_POSITIONAL
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(prefix + p.name + ("" if p.default is p.empty else "=..."))
    return ", ".join(words)


def from_text(text):
    """``ndarray.sum(self, axis=None, Py_ssize_t n) -> ndarray`` as ``self, axis=..., n``."""
    lines = [line.strip() for line in text.splitlines() if "(" in line]
    if not lines:
        return "?"
    inside = lines[0].partition("(")[2].rpartition(")")[0].replace("\\", "")
    words = []
    for word in filter(None, (word.strip() for word in inside.split(","))):
        name, default, _ = word.partition("=")
        words.append(name.split()[-1] + ("=..." if default else ""))
    return ", ".join(words)


def parse(text):
    """The signature that ``describe`` wrote."""
    return inspect.signature(eval(f"lambda {text}: None"))


if __name__ == "__main__":
    from tests.device import double

    cupy = import_module("cupy")
    new = {"cupy": cupy.__version__, "names": describe(cupy, double.names())}
    PATH.write_text(json.dumps(new, indent=1) + "\n")
    sys.exit("missing" in new["names"].values())
