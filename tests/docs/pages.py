"""The pages, and what they hold: blocks of code, command lines, links, headings."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = {".venv", "build", "dist", "demo", "runs", "node_modules"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in IGNORED or part.startswith(".") for part in path.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.M | re.S)


def name(path):
    return str(path.relative_to(ROOT))


def blocks(path, *languages):
    """The texts of the fenced blocks whose whole info string is one of ``languages``."""
    return [text for info, text in FENCE.findall(path.read_text()) if info.strip() in languages]


def python(path):
    """What runs: blocks marked ``python``.  ``python fragment`` is shown but not run."""
    return blocks(path, "python")


def commands(path):
    """(environment, arguments) of each ``backhand ...`` line in blocks of shell commands."""
    found = []
    for text in blocks(path, "sh", "bash", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            environment = {}
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                key, _, value = words.pop(0).partition("=")
                environment[key] = value
            if words[:1] == ["backhand"]:
                found.append((environment, words[1:]))
    return found


def inline_commands(path):
    """Arguments of each `backhand ...` in running text, without its [optional] parts."""
    text = FENCE.sub("", path.read_text())
    found = re.findall(r"`backhand ([^`]*)`", text)
    return [shlex.split(re.sub(r"\[[^\]]*\]|\.\.\.", "", line)) for line in found]


def links(path):
    """Targets of the links and pictures of a page, without those to the web."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text()))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(path):
    """The names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", path.read_text()), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}
