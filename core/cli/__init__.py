"""``backhand VERB``: JSON on standard output, progress on standard error.

Wrong use, and what a user can mend, is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from backhand._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    warnings.showwarning = _show_warning
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("backhand: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        if args.traceback:
            raise
        print(f"backhand: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def emit(args: argparse.Namespace, value: Any, text: str) -> None:
    """The result on standard output: JSON where asked for, else the text."""
    print(json.dumps(value, allow_nan=False) if args.json else text)


def _parser() -> argparse.ArgumentParser:
    from backhand.cli import check, data, encode, evaluate, info, pictures, train

    parser = argparse.ArgumentParser(
        prog="backhand",
        description="Latent-variable models with every gradient written by hand, and proven.",
    )
    parser.add_argument("--version", action="version", version=f"backhand {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in (info, data, train, evaluate, pictures, encode, check):
        module.add_parser(subparsers)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"backhand: warning: {message}", file=sys.stderr)
