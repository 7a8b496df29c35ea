"""Where a C++ kernel can be spoiled, by its tokens; all mutants of a file go into one text."""

import itertools
import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|\\\n)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+')
      |(?P<number>(?:0[xX][0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[fFuUlL]*)
      |(?P<name>[A-Za-z_]\w*)
      |(?P<sign><<=|>>=|->\*|\+\+|--|->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|::|.)""",
    re.X | re.S,
)
CLOSING = {"(": ")", "[": "]", "{": "}"}
# Names after which a * declares a pointer; also those that the file declares, and all in _t.
TYPES = {"auto", "bool", "char", "const", "double", "float", "int", "long", "unsigned", "void"}
KEYWORDS = {"return", "case", "if", "for", "while", "else", "do", "switch", "sizeof"}
HOW = ["NEGATED", "TERM_DROPPED", "DOUBLED", "FACTOR_DROPPED"]  # BhMutation in bh_mutant.h
SUMS, PRODUCTS = {"+", "-"}, {"*", "/"}


class Token(NamedTuple):
    kind: str
    text: str
    at: int


class Site(NamedTuple):
    at: int  # where the mutant is put into the text
    line: int
    code: str
    how: str  # a BhMutation
    change: str


def tokens(text):
    found = [Token(m.lastgroup, m[0], m.start()) for m in TOKEN.finditer(text)]
    return [t for t in found if t.kind != "space"]


def without_directives(text):
    """What is settled when the kernel is compiled, blanked."""
    blank = lambda m: re.sub(r"[^\n]", " ", m[0])  # noqa: E731
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)
    text = re.sub(r"(?<!if )\bconstexpr\b[^;{}]*;", blank, text)
    # The cost of a row, by which work is shared out among threads, changes no result.
    text = re.sub(r"[^;{}]*\b[A-Z_]+_NS\b[^;{}]*", blank, text)
    return re.sub(r"\b(?:static_assert|bh_split)\b[^;{]*", blank, text)


def skip_brackets(found, i):
    """The index behind the bracket that opens at i."""
    depth = 0
    for j in range(i, len(found)):
        depth += found[j].text in CLOSING
        depth -= found[j].text in CLOSING.values()
        if depth == 0:
            return j + 1
    return len(found)


def operand_end(found, i):
    """The index behind the operand (unary signs, a primary, calls, subscripts), or i if none."""
    start = i
    while i < len(found) and found[i].text in ("-", "+", "*", "!", "~", "&", "++", "--"):
        i += 1
    if i >= len(found):
        return start
    if found[i].text == "(":
        i = skip_brackets(found, i)
    elif found[i].kind in ("number", "name") and found[i].text not in KEYWORDS:
        i += 1
        while i + 1 < len(found) and found[i].text == "::":
            i += 2
        if i < len(found) and found[i].text == "<":  # template arguments before a call
            j = i + 1
            while j < len(found) and (
                found[j].kind in ("name", "number") or found[j].text in ",:*"
            ):
                j += 1
            if j + 1 < len(found) and found[j].text == ">" and found[j + 1].text in "({":
                i = j + 1
    else:
        return start
    while i < len(found):
        if found[i].text in ("(", "["):
            i = skip_brackets(found, i)
        elif found[i].text in (".", "->") and i + 1 < len(found):
            i += 2
        elif found[i].text in ("++", "--"):
            i += 1
        else:
            break
    return i


def types_of(found):
    declared = {"typename", "class", "struct", "using", "enum"}
    named = {b.text for a, b in itertools.pairwise(found) if a.text in declared}
    return TYPES | named | {t.text for t in found if t.text.endswith("_t")}


def operand_starts(found):
    """(index, the binary operator in front of it or "") of every operand."""
    types = types_of(found)

    def ends_operand(token):
        value = token.kind in ("number", "name") and token.text not in KEYWORDS | types
        return value or token.text in ")]"

    def is_type(i):  # REAL* x, std::uint32_t* x
        while found[i + 1].text == "::":
            i += 2
        return found[i].text in types and found[i + 1].text not in "({"

    for i in range(1, len(found) - 1):
        before = found[i - 1]
        if (found[i].kind == "sign" and found[i].text not in "(-*") or is_type(i):
            continue
        if before.text == ">" and found[i - 2].text == "*":  # of reinterpret_cast<Vector*>(x)
            continue
        if before.kind == "sign" and before.text in SUMS | PRODUCTS:
            if i > 1 and ends_operand(found[i - 2]):
                yield i, before.text
        elif before.text in ("(", ",", "=", "?", ":", "{", "[", "return") or re.fullmatch(
            r"[-+*/]=|[<>]=?|[!=]=|&&|\|\|", before.text
        ):
            yield i, before.text if before.text.endswith("=") else ""


def cpp_sites(text):
    found = tokens(without_directives(text))
    lines = text.splitlines()

    def site(i, how, change):
        line = text.count("\n", 0, found[i].at) + 1
        return Site(found[i].at, line, lines[line - 1].strip(), how, change)

    def name(i):
        end = operand_end(found, i)
        last = found[end - 1]
        return " ".join(text[found[i].at : last.at + len(last.text)].split())

    for i, before in operand_starts(found):
        end = operand_end(found, i)
        if end == i:
            continue
        behind = end  # of the product that begins here
        while behind < len(found) and found[behind].text in PRODUCTS:
            further = operand_end(found, behind + 1)
            if further == behind + 1:
                break
            behind = further
        after = found[behind].text if behind < len(found) else ""
        next_text = found[end].text if end < len(found) else ""
        first = before not in PRODUCTS
        if before in SUMS or before in ("+=", "-=") or (first and after in SUMS):
            yield site(i, "NEGATED", f"sign of {name(i)} flipped")
            yield site(i, "TERM_DROPPED", f"term from {name(i)} dropped")
        elif found[i].text == "-":
            yield site(i, "NEGATED", f"sign of {name(i)} dropped")
        one = re.fullmatch(r"1|1\.0f?|REAL\(1\)", name(i))  # without it nothing changes
        if not one and (before in PRODUCTS or before in ("*=", "/=") or next_text in PRODUCTS):
            yield site(i, "FACTOR_DROPPED", f"factor {name(i)} dropped")
        product = first and next_text in PRODUCTS
        if re.fullmatch(r"0|0\.0f?|REAL\(0\)", name(i)):
            continue
        whole = before in ("=", "*=", "+=", "-=") and after == ";"
        returned = found[i - 1].text == "return" and after == ";" and found[i].kind == "name"
        if product or whole or returned:
            yield site(i, "DOUBLED", f"product from {name(i)} doubled")


def with_mutants(text, sites):
    """The text with all of them in it; sites by number."""
    codes = {}
    for number, site in sites.items():
        codes.setdefault(site.at, []).append(str(4 * number + HOW.index(site.how)))
    for at in sorted(codes, reverse=True):
        text = f"{text[:at]}BhMutants<{', '.join(codes[at])}>{{}} ->* {text[at:]}"
    return text
