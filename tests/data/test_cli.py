"""``backhand data``."""

import argparse
import json

import pytest

from backhand.cli import data as verb
from backhand.data import registry


def run(*argv):
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    args = parser.parse_args(["data", *argv])
    return args.run(args)


def test_list(capsys, nowhere):
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(registry())
    by_name = {row["name"]: row for row in rows}
    assert set(by_name["mnist"]) >= {"name", "kind", "licence", "splits", "found"}
    assert by_name["mnist"]["found"] is None
    assert by_name["mnist-mini"]["found"]
    assert [by_name[n]["kind"] for n in ("mnist", "frey-faces", "text-verses")] == [
        "binary",
        "unit",
        "text",
    ]
    assert run("list") == 0
    text = capsys.readouterr().out
    assert "not here: https://github.com/brendenlake/omniglot" in text
    assert run("list", "olivetti", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["olivetti"]


def test_get(capsys, nowhere):
    assert run("get", "mnist-mini", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "mnist-mini"
    with pytest.raises(FileNotFoundError, match="data set olivetti not found"):
        run("get", "olivetti")
    with pytest.raises(ValueError, match="needs a NAME"):
        run("get")
    with pytest.raises(ValueError, match="unknown data set 'mnits'"):
        run("get", "mnits")


def test_verify(capsys, nowhere):
    assert run("verify", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["ok"]) for row in rows] == [("mnist-mini", True)]
    damaged = nowhere / "frey-faces" / "freyfaces.npz"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"junk")
    assert run("verify") == 1
    assert "damaged npz file" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):
        run("verify", "mnist")
