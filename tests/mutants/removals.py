"""Where a kernel.cu, or a header of device code, can lose what keeps its threads in order and
within bounds: a barrier, an atomic, a condition, the last turn of a loop."""

import re
from typing import NamedTuple

from backhand.csrc import sources
from tests.mutants.cpp_mutants import CLOSING, skip_brackets, tokens, without_directives

HEAD = """#include <cstdlib>
static const int bh_removed = std::getenv("BH_MUTANT") ? std::atoi(std::getenv("BH_MUTANT")) : 0;
#define BH_UNLESS(number, ...) (bh_removed == number ? (void)0 : (void)(__VA_ARGS__))
#define BH_INSTEAD(number, other, ...) (bh_removed == number ? (other) : (__VA_ARGS__))
"""
ORDERS = {"<": "<=", ">": ">=", "<=": "<", ">=": ">"}
COMPARE = re.compile(r"(?<= )(==|!=|<=|>=|<|>)(?= )")


class Removal(NamedTuple):
    at: int
    end: int
    line: int
    code: str
    change: str
    other: str | None  # C++ in place of the condition; None: a call, of which nothing is left


def device_headers(op, root=sources.ROOT):
    """What kernel.cu includes and holds the work of threads; formulas are other mutants'."""
    found, waiting = [], [f"{op}/kernel.cu"]
    while waiting:
        file = waiting.pop()
        found.append(file)
        for name in re.findall(r'^#include "(.*?)"', (root / file).read_text(), re.M):
            formulas = name.endswith(("_math.h", "macros.h"))
            if not formulas and name not in [*found, *waiting]:
                waiting.append(name)
    return sorted(found)


def removals(text):
    """Every place, in the order of the text."""
    plain = without_directives(text)
    found = tokens(plain)
    lines = text.splitlines()

    def site(at, end, change, other):
        line = text.count("\n", 0, at) + 1
        return Removal(at, end, line, lines[line - 1].strip(), change, other)

    places = []
    for i, token in enumerate(found):
        if re.fullmatch(r"__syncthreads|__syncwarp|atomic\w+", token.text):
            last = found[skip_brackets(found, i + 1) - 1]
            kind = "atomic" if token.text.startswith("atomic") else "barrier"
            places.append(site(token.at, last.at + 1, f"{kind} removed", None))
        elif token.text in ("if", "while") and found[i + 1].text == "(":
            end = skip_brackets(found, i + 1)
            leaves = found[end].text in ("return", "continue", "break")
            for part in parts(plain, found, i + 2, end - 1):
                change = f"check removed: {' '.join(plain[slice(*part)].split())}"
                places.append(site(*part, change, "false" if leaves else "true"))
        elif token.text == "for" and found[i + 1].text == "(":
            inner = within(found, i + 2, skip_brackets(found, i + 1) - 1, ";")
            if len(inner) == 1:
                continue  # (x : all) has no condition
            for part in parts(plain, found, *inner[1]):
                words = " ".join(plain[slice(*part)].split())
                operator = COMPARE.search(words)
                if operator and operator[0] in ORDERS:
                    other = (
                        words[: operator.start()] + ORDERS[operator[0]] + words[operator.end() :]
                    )
                    places.append(site(*part, f"one turn more: {words}", other))
        elif token.text == "?":
            begin = first_of_expression(found, i)
            for part in parts(plain, found, begin, i):
                words = " ".join(plain[slice(*part)].split())
                if re.search(r" (<|==) ", words):
                    places.append(site(*part, f"choice removed: {words}", "true"))
    return sorted(places)


def within(found, begin, end, *separators):
    """The (begin, end) of the pieces between separators, outside of brackets."""
    pieces, i, start = [], begin, begin
    while i < end:
        if found[i].text in CLOSING:
            i = skip_brackets(found, i)
            continue
        if found[i].text in separators:
            pieces.append((start, i))
            start = i + 1
        i += 1
    return [*pieces, (start, end)]


def parts(text, found, begin, end):
    """(begin, end) in the text of each comparison that a condition is made of."""
    for first, behind in within(found, begin, end, "&&", "||"):
        if first == behind:
            continue
        at = found[first].at
        last = found[behind - 1]
        piece = text[at : last.at + len(last.text)]
        if COMPARE.search(piece) and "++" not in piece and "--" not in piece:
            yield at, at + len(piece)


def first_of_expression(found, i):
    """The index at which the condition of the ``?`` at i begins."""
    depth = 0
    for j in range(i - 1, -1, -1):
        text = found[j].text
        if text in CLOSING.values():
            depth += 1
        elif text in CLOSING:
            depth -= 1
            if depth < 0:
                return j + 1
        elif depth == 0 and (
            text in (",", ";", "?", ":", "return") or re.fullmatch(r"[-+*/]?=", text)
        ):
            return j + 1
    return 0


def with_removals(text, sites):
    """The text with all of them in it; sites by number."""
    for number, one in sorted(sites.items(), key=lambda item: -item[1].at):
        piece = text[one.at : one.end]
        if one.other is None:
            piece = f"BH_UNLESS({number}, {piece})"
        else:
            piece = f"BH_INSTEAD({number}, {one.other}, {piece})"
        text = text[: one.at] + piece + text[one.end :]
    return text
