"""What the pages show is true: code runs, commands exist, links lead somewhere."""

import re
import sys
import types

import pytest

from backhand.cli import _parser, main
from backhand.config import DataConfig, TrainConfig, apply_settings
from backhand.data.registry import registry
from backhand.models import model_class
from tests.docs import pages
from tests.docs.pages import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    commands,
    inline_commands,
    links,
    name,
)

EXAMPLES = str(ROOT / "examples")
each_page = pytest.mark.parametrize("page", PAGES, ids=name)
runs = [page for page in PAGES if any(b.language in ("python", "sh") for b in blocks(page))]


def test_the_pages_are_found():
    names = {name(page) for page in PAGES}
    wanted = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md", "docs/design.md"}
    assert wanted <= names
    assert len(runs) >= 7


# -- code ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", runs, ids=name)
def test_what_a_page_shows_runs(page, tmp_path, monkeypatch):
    """The blocks of a page in order; commands with fewer epochs, samples and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(ROOT), EXAMPLES, *sys.path])
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # dataclasses look their module up
    before = set(sys.modules)
    all_blocks = blocks(page)
    try:
        for i, block in enumerate(all_blocks):
            if block.mark.startswith("file="):
                file = tmp_path / block.mark.removeprefix("file=")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.mark == "fragment":
                continue
            elif block.language == "python":
                run_python(block, all_blocks[i + 1 : i + 2], module, page)
            for command in [] if block.mark else commands(block):
                arguments = cut_short(command.arguments)
                assert main(arguments) == 0, arguments
    finally:
        for added in set(sys.modules) - before:
            if not added.startswith(("backhand", "numpy")) and is_ours(added, tmp_path):
                del sys.modules[added]


def run_python(block, following, module, page):
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    try:
        exec(code, module.__dict__)
    except Exception as error:
        shown = following[0].text if following and not following[0].language else ""
        said, expected = (" ".join(text.split()) for text in (str(error), shown))
        if not said or said not in expected:
            raise


def is_ours(module, folder):
    return str(getattr(sys.modules[module], "__file__", None) or "").startswith(str(folder))


def cut_short(arguments):
    """The same command with little work."""
    short = list(arguments)
    for flag, most in {"--epochs": 1, "-k": 5, "-n": 8}.items():
        if flag in short:
            at = short.index(flag) + 1
            short[at] = str(min(int(short[at]), most))
    if short[0] == "bounds":
        return [*short, "--limit", "4", "-k", "1,2", "--chains", "2", "--temperatures", "3"]
    if short[0] in ("train", "evaluate"):
        if "--limit" in short:
            short[short.index("--limit") + 1] = "60"
        else:
            short += ["--limit", "200" if short[0] == "train" else "60"]
    return short


# -- commands ------------------------------------------------------------------------------


def shown_commands(page):
    fenced = [command.arguments for block in blocks(page) for command in commands(block)]
    return fenced + inline_commands(page)


def is_a_pattern(arguments):
    """`backhand VERB`, `backhand data list|get`: about commands, not one."""
    words = " ".join(arguments)
    return not words or arguments[0].isupper() or "|" in words or "package.module" in words


@each_page
def test_commands_parse(page, capsys):
    wrong = []
    for arguments in shown_commands(page):
        verb_alone = len(arguments) == 1 and arguments[0] in VERBS  # in running text
        if not is_a_pattern(arguments) and not verb_alone:
            try:
                _parser().parse_args(arguments)
            except SystemExit:
                wrong.append(capsys.readouterr().err)
    assert not wrong


@each_page
def test_settings_are_fields(page, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, EXAMPLES])
    for arguments in shown_commands(page):
        if arguments[:1] == ["train"] and len(arguments) > 1 and not is_a_pattern(arguments):
            args = _parser().parse_args(arguments)
            apply_settings(tables(args.model), args.set)
            assert args.data is None or args.data in registry() or "." in args.data
    for text in re.findall(r"`--set (?!field=)([\w.]+=[^`\s]+)`", page.read_text(encoding="utf-8")):
        apply_settings(tables("vae"), [text])


def tables(model):
    config = model_class(model).Config()
    return {"model": config, "training": TrainConfig(), "data": DataConfig()}


VERBS = next(
    action.choices for action in _parser()._actions if isinstance(action.choices, dict)
).keys()


# -- words and links -----------------------------------------------------------------------


@each_page
def test_links_lead_somewhere(page):
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)}: {link}"
        assert file.is_relative_to(ROOT), f"{name(page)}: {link} leads out of the repository"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{name(page)}: {link}: {sorted(anchors(file))}"


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    wanted = {*ROOT.glob("docs/*.md"), *ROOT.glob("kernels/*/DERIVATION.md")} - {index}
    wanted |= set(ROOT.glob("examples/*.py"))
    assert {name(page) for page in wanted} <= {name(page) for page in listed if page.exists()}


@each_page
def test_pages_speak_of_the_project_alone(page):
    """Not of the machine, the day or the people it was written on."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\bsession\w*|/work\b|\.\./shared|/home/\w+|/root/|/tmp/", text)
    assert not found


# -- these tests themselves ----------------------------------------------------------------

WRONG = {
    "an error that is not shown": ("```python\nx = 1\n```\n```python\nassert x == 2\n```\n", 0),
    "another error": ("```python\n1 / 0\n```\n```\nValueError: no\n```\n", 0),
    "a failing command": ("```sh\nbackhand evaluate nowhere\n```\n", 0),
    "an unknown flag": ("```sh\nbackhand train vae --colour red\n```\n", 1),
    "an unknown flag in a line": ("`backhand evaluate RUN --kk 3`\n", 1),
    "an unknown field": ("Use `--set hiden=3`.\n", 2),
    "a dead link": ("[x](nowhere.md)\n", 3),
    "a dead anchor": ("[x](#nowhere)\n# Here\n", 3),
}


@pytest.mark.parametrize(("text", "which"), WRONG.values(), ids=WRONG)
def test_a_wrong_page_is_caught(text, which, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    tests = [
        lambda: test_what_a_page_shows_runs(page, tmp_path, monkeypatch),
        lambda: test_commands_parse(page, capsys),
        lambda: test_settings_are_fields(page, monkeypatch),
        lambda: test_links_lead_somewhere(page),
    ]
    with pytest.raises((AssertionError, ValueError, ArithmeticError)):
        tests[which]()
