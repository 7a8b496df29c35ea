"""The pages, and what they hold: blocks of code, command lines, links, headings.

The info string of a block says what is done with it:

    python                 runs, in the order of the page, in one namespace and one folder
    python fragment        is shown, not run
    python file=a/b.py     is written to that file first; so is any other language
    sh                     its ``backhand`` lines are run, cut short
    sh fragment            its ``backhand`` lines are only parsed

Where a python block raises, the block after it shows the message.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
IGNORED = {"build", "dist", "demo", "runs"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in IGNORED or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.M | re.S)


class Block(NamedTuple):
    language: str
    mark: str  # "", "fragment" or "file=..."
    text: str
    line: int


class Command(NamedTuple):
    environment: dict
    arguments: list


def name(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, _, mark = match[1].strip().partition(" ")
        line = text[: match.start()].count("\n") + 2
        found.append(Block(language, mark.strip(), match[2], line))
    return found


def commands(block):
    """The ``backhand ...`` lines of a block of shell commands."""
    found = []
    if block.language == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            environment = {}
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                key, _, environment[key] = words.pop(0).partition("=")
            if words[:1] == ["backhand"]:
                found.append(Command(environment, words[1:]))
    return found


def inline_commands(path):
    """Arguments of each `backhand ...` in running text, without its [optional] parts."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    found = re.findall(r"`backhand ([^`]*)`", text)
    return [shlex.split(re.sub(r"\[[^\]]*\]|\.\.\.", "", line)) for line in found]


def links(path):
    """Targets of the links and pictures of a page, without those to the web."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
    targets += re.findall(r'(?:src|href)="([^"]+)"', text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(path):
    """The names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", path.read_text(encoding="utf-8")), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
