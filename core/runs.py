"""A run is a folder: config.toml, metrics.jsonl, checkpoints, pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from backhand import checkpoint
from backhand._types import Array
from backhand._version import __version__
from backhand.config import TrainConfig, write_toml
from backhand.data import Data
from backhand.model import DataSpec, Model
from backhand.models import model_class
from backhand.numerics import xp_of
from backhand.params import assign_constants, constants
from backhand.progress import Progress
from backhand.run_settings import Settings, data_of, fingerprint, other_data, read_settings

__all__ = ["Run", "Settings", "data_of", "load", "new_model", "other_data"]

CONFIG, METRICS, BEST = "config.toml", "metrics.jsonl", "best.npz"


class Run:
    """An open run folder.  ``Run.create`` starts one, ``Run.open`` reads one."""

    def __init__(self, path: str | os.PathLike[str], settings: Settings) -> None:
        self.path = Path(path)
        self.settings = settings

    @classmethod
    def create(cls, path: str | os.PathLike[str], settings: Settings) -> Run:
        """A new run in an empty or missing folder; refuses any other."""
        run = cls(path, settings)
        if run.path.exists() and not run.path.is_dir():
            raise FileExistsError(f"{run.path} is a file; a run needs a folder of its own")
        run.path.mkdir(parents=True, exist_ok=True)
        with run.locked():
            # What ends in .tmp was left by a process killed in the middle of writing.
            if any(entry.suffix != ".tmp" for entry in run.path.iterdir()):
                raise FileExistsError(
                    f"{run.path} is not empty; name another folder, or go on with its run: "
                    "--resume, or run=bh.Run.open(...)"
                )
            run._write_config()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run in a folder, by its config.toml."""
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder} holds no run (there is no {CONFIG} in it)")
        return cls(folder, read_settings(folder / CONFIG))

    def go_on_with(self, training: TrainConfig) -> None:
        """Take a training table for what follows: the run's own, or one that is longer."""
        later = replace(self.settings, training=training)
        if later != self.settings:
            self.settings.must_allow(later, self.path)
            self.settings = later
            self._write_config()

    def _write_config(self) -> None:
        write_toml(self.path / CONFIG, self.settings.name, self.settings.tables)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder; ends with the process at the latest."""
        try:
            import fcntl
        except ImportError:  # not a POSIX system: nothing to lock with
            yield
            return
        folder = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(
                    f"another process is training in {self.path}; wait for it, or name another one"
                ) from None
            yield
        finally:
            os.close(folder)

    # -- metrics -------------------------------------------------------------------

    def append(self, row: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""
        path = self.path / METRICS
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise checkpoint.CheckpointError(
                f"cannot write {path}: {error.strerror or error}; the checkpoints are untouched; "
                "make room and go on from the last one"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl; a last line cut short by a crash is left out."""
        path = self.path / METRICS
        if not path.exists():
            return []
        rows = []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        for i, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                continue
            try:
                row = json.loads(line)
                int(row["step"])
            except (ValueError, KeyError, TypeError):
                raise checkpoint.CheckpointError(
                    f"{path}, line {i}, is no line of metrics ({line.strip()[:40]!r}); remove it"
                ) from None
            rows.append(row)
        return rows

    def cut(self, step: int) -> None:
        """Drop the metrics after ``step``: the checkpoint that training goes on from."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        with checkpoint.replacing(self.path / METRICS) as file:
            file.write("".join(json.dumps(row) + "\n" for row in kept).encode())

    # -- checkpoints ---------------------------------------------------------------

    def save(
        self,
        progress: Progress,
        model: Model,
        data: Data,
        slots: Mapping[str, Array],
        *,
        best: bool,
    ) -> None:
        """Write a checkpoint; a model that is the best by validation bound also to best.npz."""
        arrays = {"vector": model.params.vector}
        arrays |= {f"constant/{name}": array for name, array in constants(model).items()}
        meta = {
            "backhand": __version__,
            "model": self.settings.name,
            "spec": list(model.spec),
            "table": [[entry.name, list(entry.shape)] for entry in model.params.table],
            "data": fingerprint(data),
            "progress": asdict(progress),
        }
        if best:
            checkpoint.save(self.path / BEST, arrays, meta)  # to be used, not to go on from
        arrays |= {f"optimizer/{name}": array for name, array in slots.items()}
        checkpoint.save(self.path / checkpoint.file_name(progress.step), arrays, meta)
        checkpoint.rotate(self.path, progress.step)

    def restore(self, model: Model, data: Data) -> tuple[Progress, dict[str, Array]] | None:
        """Fill ``model`` from the newest checkpoint: (progress, optimiser slots), or None."""
        found = checkpoint.latest(self.path)
        if found is None:
            self.cut(0)
            return None
        arrays, meta = found
        self._same_data(meta, data)
        _fill(model, arrays, meta, self.path)
        self.cut(meta["progress"]["step"])
        return Progress(**meta["progress"]), _below("optimizer/", arrays)

    def data(self) -> Data:
        """The data that the run was trained on; raises ValueError where they have changed."""
        data = data_of(self.settings.data)
        self._same_data(self._find("best").meta, data)
        return data

    def _same_data(self, meta: Mapping[str, Any], data: Data) -> None:
        if meta["data"] != fingerprint(data):
            raise ValueError(
                f"{data.name} does not hold the data that {self.path} was trained on "
                f"(parts of {meta['data']['sizes']} data then, {fingerprint(data)['sizes']} now, "
                "or other values)"
            )

    def load(self, which: str = "best") -> Model:
        """The trained model: "best" by validation bound where there is one, or "last"."""
        arrays, meta = self._find(which)
        model = new_model(self.settings, DataSpec(tuple(meta["spec"][0]), meta["spec"][1]))
        _fill(model, arrays, meta, self.path)
        return model

    def _find(self, which: str) -> checkpoint.Checkpoint:
        if which not in ("best", "last"):
            raise ValueError(f"which must be 'best' or 'last', got {which!r}")
        best = self.path / BEST
        if which == "best" and best.exists():
            return checkpoint.load(best)
        found = checkpoint.latest(self.path)
        if found is None:
            raise FileNotFoundError(f"{self.path} holds no checkpoint yet")
        return found


def new_model(settings: Settings, spec: DataSpec, x: Array | None = None) -> Model:
    """A model as the settings have it, with initial values from the training data ``x``."""
    made = model_class(settings.name).create(
        settings.model, spec, x, seed=settings.training.seed, dtype=settings.training.dtype
    )
    return made  # type: ignore[no-any-return]


def load(path: str | os.PathLike[str], which: str = "best") -> Model:
    """The trained model of a run folder; ``which``: "best" by validation bound, or "last"."""
    return Run.open(path).load(which)


def _fill(model: Model, arrays: Mapping[str, Array], meta: Mapping[str, Any], path: Path) -> None:
    """Copy a checkpoint into a model of exactly its layout."""
    theirs = [(name, tuple(shape)) for name, shape in meta["table"]]
    ours = [(entry.name, tuple(entry.shape)) for entry in model.params.table]
    vector = model.params.vector
    for own, other in zip(ours, theirs, strict=False):
        if own != other:
            raise checkpoint.CheckpointError(
                f"the checkpoint in {path} has {other[0]} {other[1]} where the model has "
                f"{own[0]} {own[1]}; its config.toml does not belong to it"
            )
    if len(ours) != len(theirs) or arrays["vector"].dtype != vector.dtype:
        raise checkpoint.CheckpointError(
            f"the checkpoint in {path} holds {len(theirs)} parameters of {arrays['vector'].dtype}, "
            f"the model {len(ours)} of {vector.dtype}; its config.toml does not belong to it"
        )
    vector[...] = _like(arrays["vector"], vector)
    kept = _below("constant/", arrays)
    assign_constants(model, {name: _like(array, vector) for name, array in kept.items()})


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _like(array: Array, vector: Array) -> Array:
    """A host array, on the device of the model."""
    return np.asarray(array) if xp_of(vector) is np else xp_of(vector).asarray(array)
