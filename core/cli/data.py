"""``backhand data list|get|verify [NAME]``: the registry of known data sets."""

from __future__ import annotations

import argparse
from typing import Any

from backhand.cli import emit


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "data",
        help="the known data sets: list, fetch, verify",
        description="list: what is known and what is here; get: fetch what is missing; "
        "verify: compare the files with their digests. Without NAME: of all that is here.",
    )
    parser.add_argument("action", choices=("list", "get", "verify"))
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "get": _get, "verify": _verify}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from backhand.data import find
    from backhand.data.registry import entry, registry

    rows: list[dict[str, Any]] = []
    for known in [entry(args.name)] if args.name else registry().values():
        place = find(known.name)
        rows.append(
            {
                "name": known.name,
                "kind": "binary" if known.binarisation != "none" else known.kind,
                "licence": known.licence,
                "redistributable": known.redistributable,
                "source": known.source,
                "splits": known.splits,
                "found": None if place is None else str(place),
            }
        )
    text = "\n".join(
        f"{row['name']}  ({row['kind']})\n    {row['splits']}\n    licence: {row['licence']}\n"
        f"    {row['found'] or 'not here: ' + row['source']}"
        for row in rows
    )
    emit(args, rows, text)
    return 0


def _get(args: argparse.Namespace) -> int:
    from backhand.data import get

    if not args.name:
        raise ValueError("data get needs a NAME; backhand data list shows them")
    folder = str(get(args.name))
    emit(args, {"name": args.name, "found": folder}, folder)
    return 0


def _verify(args: argparse.Namespace) -> int:
    """One row for each data set; exit status 1 if one is damaged."""
    from backhand.data import DataError, found, verify

    names = [args.name] if args.name else [name for name, place in found().items() if place]
    rows = []
    for name in names:
        try:
            rows.append({"name": name, "ok": True, "found": str(verify(name)), "error": None})
        except DataError as error:
            rows.append({"name": name, "ok": False, "found": found()[name], "error": str(error)})
    lines = [f"{row['name']:20}{'ok' if row['ok'] else row['error']}" for row in rows]
    emit(args, rows, "\n".join(lines))
    return 0 if all(row["ok"] for row in rows) else 1
