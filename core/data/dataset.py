"""``load``: a data set by name, file or array, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backhand._types import Array
from backhand.columns import moments
from backhand.data import sets, store, user
from backhand.data.files import DataError, digest
from backhand.data.registry import entry, registry
from backhand.data.scenes import SIDES, Scene
from backhand.data.split import SPLITS, Split
from backhand.model import DataSpec
from backhand.noise import order

COARSE = 1e-3  # steps of a type, in standard deviations of a column, above which it is refused
BINARISATIONS = ("none", "once", "dynamic")


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: what a model must know of it (spec), its parts, and where it comes from.

    binarisation: none; once (the training data too are binarised by the data set's own seed);
    dynamic (the training data are binarised anew whenever they are shown).  Validation and
    test data are always binarised by the data set's own seed.
    info: seed, digests, licence, and for text ``vocab``.
    """

    name: str
    spec: DataSpec
    train: Split
    valid: Split | None
    test: Split | None
    binarisation: str
    info: Mapping[str, Any]

    def split(self, name: str) -> Split:
        """A part by its name; one that is missing raises ValueError."""
        if name not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")
        part: Split | None = getattr(self, name)
        if part is None:
            present = [s for s in SPLITS if getattr(self, s) is not None]
            raise DataError(f"{self.name} has no {name} part; it has {', '.join(present)}")
        return part

    def converted(self, dtype: Any) -> Data:
        """The same with x in a model's dtype, pictures in [0, 1]; token numbers stay as they are.

        What the data set's own seed binarises is binarised here, once.  A column of real
        training data that loses its differences by it raises DataError.
        """
        train = self.train.converted(dtype)
        if self.spec.kind == "real" and not np.can_cast(self.train.x.dtype, dtype):
            _check_precision(self.name, self.train.x, train.x)
        return replace(
            self,
            train=train,
            valid=self.valid and self.valid.converted(dtype),
            test=self.test and self.test.converted(dtype),
        )


def _check_precision(name: str, x: Array, narrow: Array) -> None:
    """Refuse columns far from 0 for their spread, such as times, whose digits the type lacks."""
    rows, kept = x.reshape(len(x), -1), narrow.reshape(len(x), -1)
    _, std = moments(rows)
    step = np.spacing(abs(kept).max(axis=0))
    for column in np.flatnonzero((std > 0) & (step > COARSE * std)):
        if (kept[:, column] != rows[:, column]).any():
            at = tuple(int(i) for i in np.unravel_index(column, x.shape[1:]))
            raise DataError(
                f"{name}: column {at[0] if len(at) == 1 else at} (counted from 0) has values up to "
                f"{abs(kept[:, column]).max():.6g} with a standard deviation of {std[column]:.3g}; "
                f"{kept.dtype} has steps of {step[column]:.3g} there and would lose what they "
                "differ by; subtract an offset from the column, or compute in float64 "
                "(--set dtype=float64)"
            )


def load(
    source: str | Path | Array | Mapping[str, Array], *,
    binarisation: str | None = None, valid: int | None = None, limit: int | None = None,
    kind: str | None = None, scene: str | None = None,
) -> Data:  # fmt: skip
    """A data set by its name, from a file, or from the caller's own array (N, ...).

    binarisation: none, once or dynamic; None: the data set's own default.
    valid: how many of the training data are held out for validation where the source has no
    such part (the last of a known set, a fixed draw of a user's table); None: the data set's
    own number, 10 % of a user's data.  0: none.
    limit: only the first so many training data; validation and test data stay.
    kind: binary, unit or real, of a user's data; None: by their values (docs/data.md).
    scene: two-digits or cluttered (backhand.data.scenes); None: the data as they are.
    Raises ValueError (DataError), FileNotFoundError.
    """
    if isinstance(source, str) and source in registry():
        data = _known(source, valid, kind)
    else:
        data = _own(source, valid, kind)
    data = _binarised(data, binarisation)
    data = data if limit is None else replace(data, train=data.train.first(limit))
    return data if scene is None else _staged(data, scene)


def _staged(data: Data, kind: str) -> Data:
    """The same data as scenes."""
    if data.spec.kind not in ("unit", "binary") or data.binarisation == "once":
        raise DataError(
            f"scene {kind} needs grey pictures, binarised dynamically or not at all; {data.name} "
            f"is {data.spec.kind}, with binarisation {data.binarisation}"
        )
    seed = data.info["seed"]

    def staged(part: Split) -> Split:
        others = data.train.x if kind == "cluttered" else part.x
        y = part.y if kind == "cluttered" else None  # of two digits there are two
        return replace(part, y=y, scene=Scene(kind, seed, others))

    return replace(
        data,
        train=staged(data.train),
        valid=data.valid and staged(data.valid),
        test=data.test and staged(data.test),
        spec=DataSpec((SIDES[kind], SIDES[kind]), data.spec.kind),
    )


def _known(name: str, valid: int | None, kind: str | None) -> Data:
    known = entry(name)
    if kind is not None:
        raise DataError(f"kind is for your own data; {name} is known to be {known.kind}")
    contents, digests = store.read(name, store.get(name))
    parts, extra = sets.build(known, contents)
    parts = _held_out(name, parts, known.valid, valid)
    facts = {"source": known.source, "licence": known.licence, "seed": known.seed}
    return _data(name, known.kind, parts, facts | {"sha256": digests} | extra)


def _own(source: Any, valid: int | None, kind: str | None) -> Data:
    name = "array"
    if isinstance(source, np.ndarray):
        content: Any = {"x": source}
    elif isinstance(source, Mapping):
        content = dict(source)
    elif isinstance(source, str | Path):
        name = str(source)
        if not Path(name).suffix and not Path(name).exists():
            entry(name)  # rather a mistyped name than a file: says which are known
        content = user.read(Path(name))
    else:
        raise TypeError(
            f"load: expected the name of a data set, a file or a NumPy array, "
            f"got {type(source).__name__}"
        )
    info: dict[str, Any] = {"seed": 0}
    if isinstance(content, list):
        if kind is not None:
            raise DataError(f"{name} is text; kind is for numbers, got {kind!r}")
        parts, info["vocab"] = user.text_parts(content, _share(len(content), valid), name)
        found, sha256 = "text", digest("\n".join(content).encode())
    else:
        parts = user.parts_of(content, name)
        found, info["kind"] = user.kind_of(parts, kind)
        sha256 = digest(
            {
                f"{split.name}_{letter}": array
                for split in parts.values()
                for letter, array in (("x", split.x), ("y", split.y), ("mask", split.mask))
                if array is not None
            }
        )
    info["sha256"] = {name: sha256}
    spread = found != "text"  # a table may be sorted; lines of text are held out from the end
    parts = _held_out(name, parts, _share(len(parts["train"]), None), valid, spread)
    return _data(name, found, parts, info)


def _share(n: int, valid: int | None) -> int:
    """How many of n of a user's data are held out."""
    return max(1, n // 10) if valid is None else valid


def _held_out(
    name: str, parts: dict[str, Split], default: int, valid: int | None, spread: bool = False
) -> dict[str, Split]:
    """``valid`` rows of the training data held out: the last, or ``spread`` by a fixed draw."""
    if "valid" in parts:
        if valid is not None:
            raise DataError(f"{name} has its own validation data; leave out valid={valid}")
        return parts
    train, n = parts["train"], default if valid is None else valid
    if not 0 <= n < len(train):
        raise DataError(
            f"valid must leave training data: from 0 to {len(train) - 1} of {len(train)}, got {n}"
        )
    if n == 0:
        return parts
    drawn = order(0, 0, len(train)) if spread else np.arange(len(train))
    kept, held = np.sort(drawn[:-n]), np.sort(drawn[-n:])
    return parts | {"train": train.rows(kept), "valid": replace(train.rows(held), name="valid")}


def _data(name: str, kind: str, parts: Mapping[str, Split], info: Mapping[str, Any]) -> Data:
    if kind == "unit" and parts["train"].x.dtype == np.uint8:
        parts = {split: replace(part, pictures=True) for split, part in parts.items()}
    train = parts["train"]
    spec = DataSpec(train.x.shape[1:], kind)
    return Data(name, spec, train, parts.get("valid"), parts.get("test"), "none", info)


def _binarised(data: Data, wanted: str | None) -> Data:
    if wanted is None:
        known = registry().get(data.name)
        wanted = known.binarisation if known else "none"
    if wanted not in BINARISATIONS:
        raise DataError(f"binarisation must be one of {', '.join(BINARISATIONS)}, got {wanted!r}")
    if wanted == "none":
        return data
    if data.spec.kind != "unit":
        raise DataError(
            f"binarisation {wanted} needs grey values in [0, 1] or uint8; {data.name} is "
            f"{data.spec.kind}"
        )
    seed = data.info["seed"]
    return replace(
        data,
        spec=DataSpec(data.spec.shape, "binary"),
        binarisation=wanted,
        train=replace(data.train, binarise=seed, anew=wanted == "dynamic"),
        valid=data.valid and replace(data.valid, binarise=seed),
        test=data.test and replace(data.test, binarise=seed),
    )
