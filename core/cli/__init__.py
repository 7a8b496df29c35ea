"""``backhand VERB``: JSON on standard output, progress on standard error.

Wrong use, and what a user can mend, is one line on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backhand._types import Array
from backhand._version import __version__

if TYPE_CHECKING:
    from backhand.data import Data


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
    except MemoryError as error:
        if args.traceback:
            raise
        print(
            f"backhand: error: out of memory; ask for less at once. {error}".rstrip(),
            file=sys.stderr,
        )
        return 2
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        if args.traceback:
            raise
        print(f"backhand: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def emit(args: argparse.Namespace, value: Any, text: str) -> None:
    """The result on standard output: JSON where asked for, else the text."""
    print(json.dumps(value, allow_nan=False) if args.json else text)


def output_file(option: str, name: str, suffixes: Sequence[str]) -> Path:
    """Where a result will go, refused before the work begins rather than after it."""
    path = Path(name)
    if path.suffix not in suffixes:
        raise ValueError(f"{option} must end in {' or '.join(suffixes)}, got {name}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} {name}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{option} {name} is a folder; name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{option} {name}: the folder {path.parent} may not be written")
    return path


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by their names; the file is whole or not there."""
    import numpy as np

    from backhand.checkpoint import replacing

    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def part_of(data: Data, wanted: str | None) -> str:
    """The part to be used: the test part unless another is named; without one, validation."""
    if wanted is None and data.test is None and data.valid is not None:
        print(
            f"backhand: warning: {data.name} has no test part; this is on the validation part, by "
            "which training chose its best step",
            file=sys.stderr,
        )
        return "valid"
    return wanted or "test"


def must_have(model: Any, name: str) -> None:
    """Raises ValueError for a model without this method: a classifier has no latent variables."""
    if not hasattr(model, name):
        raise ValueError(f"the model {type(model).__name__} has no {name}")


def _parser() -> argparse.ArgumentParser:
    from backhand.cli import (
        bench,
        bounds,
        check,
        data,
        encode,
        evaluate,
        info,
        pictures,
        train,
        warmup,
    )

    parser = argparse.ArgumentParser(
        prog="backhand",
        description="Latent-variable models with every gradient written by hand, and proven.",
    )
    parser.add_argument("--version", action="version", version=f"backhand {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in (info, data, train, evaluate, bounds, pictures, encode, check, bench, warmup):
        module.add_parser(subparsers)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"backhand: warning: {message}", file=sys.stderr)
