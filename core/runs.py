"""A run is a folder: config.toml, metrics.jsonl, checkpoints, pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backhand import checkpoint
from backhand._types import Array
from backhand._version import __version__
from backhand.config import DataConfig, TrainConfig, model_name, read_toml, write_toml
from backhand.data import Data
from backhand.data import load as load_data
from backhand.model import DataSpec, Model
from backhand.models import model_class
from backhand.params import assign_constants, constants

CONFIG, METRICS, BEST = "config.toml", "metrics.jsonl", "best.npz"


@dataclass(frozen=True)
class Settings:
    """Everything that a run was asked to do, resolved: the three tables of config.toml."""

    name: str  # of the model: "vae", or package.module:Class
    model: Any
    training: TrainConfig
    data: DataConfig

    @property
    def tables(self) -> dict[str, Any]:
        return {"model": self.model, "training": self.training, "data": self.data}


class Run:
    """An open run folder.  ``Run.create`` starts one, ``Run.open`` reads one."""

    def __init__(self, path: str | os.PathLike[str], settings: Settings) -> None:
        self.path = Path(path)
        self.settings = settings

    @classmethod
    def create(cls, path: str | os.PathLike[str], settings: Settings) -> Run:
        """A new run in an empty or missing folder; refuses any other."""
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} is not empty; name another folder, or go on with its run by --resume"
            )
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder, settings)
        run.write_config()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run in a folder, by its config.toml."""
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder} holds no run (there is no {CONFIG} in it)")
        return cls(folder, read_settings(folder / CONFIG))

    def write_config(self) -> None:
        """Write the settings to config.toml."""
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
        with open(self.path / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl; a last line cut short by a crash is left out."""
        file = self.path / METRICS
        if not file.exists():
            return []
        rows = []
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                rows.append(json.loads(line))
        return rows

    def cut(self, step: int) -> None:
        """Drop the metrics after ``step``: the checkpoint that training goes on from."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        with checkpoint.replacing(self.path / METRICS) as file:
            file.write("".join(json.dumps(row) + "\n" for row in kept).encode())

    # -- checkpoints ---------------------------------------------------------------

    def save(
        self, progress: dict[str, Any], model: Model, slots: Mapping[str, Array], *, best: bool
    ) -> None:
        """Write a checkpoint; a model that is the best by validation bound also to best.npz."""
        arrays = {"vector": model.params.vector}
        arrays |= {f"constant/{name}": array for name, array in constants(model).items()}
        meta = {
            "backhand": __version__,
            "model": self.settings.name,
            "spec": list(model.spec),
            "table": [[entry.name, list(entry.shape)] for entry in model.params.table],
            "progress": progress,
        }
        if best:
            checkpoint.save(self.path / BEST, arrays, meta)  # to be used, not to go on from
        arrays |= {f"optimizer/{name}": array for name, array in slots.items()}
        checkpoint.save(self.path / checkpoint.file_name(progress["step"]), arrays, meta)
        checkpoint.rotate(self.path, progress["step"])

    def restore(self, model: Model) -> tuple[dict[str, Any], dict[str, Array]] | None:
        """Fill ``model`` from the newest checkpoint: (progress, optimiser slots), or None."""
        found = checkpoint.latest(self.path)
        self.cut(found[1]["progress"]["step"] if found else 0)
        if found is None:
            return None
        arrays, meta = found
        _fill(model, arrays, meta, self.path)
        prefix = "optimizer/"
        slots = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        return meta["progress"], slots

    def load(self, which: str = "best") -> Model:
        """The trained model: "best" by validation bound where there is one, or "last"."""
        if which not in ("best", "last"):
            raise ValueError(f"which must be 'best' or 'last', got {which!r}")
        best = self.path / BEST
        if which == "best" and best.exists():
            found: checkpoint.Checkpoint | None = checkpoint.load(best)
        else:
            found = checkpoint.latest(self.path)
        if found is None:
            raise FileNotFoundError(f"{self.path} holds no checkpoint yet")
        arrays, meta = found
        model = new_model(self.settings, DataSpec(tuple(meta["spec"][0]), meta["spec"][1]))
        _fill(model, arrays, meta, self.path)
        return model


def new_model(settings: Settings, spec: DataSpec, x: Array | None = None) -> Model:
    """A model as the settings have it, with initial values from the training data ``x``."""
    made = model_class(settings.name).create(
        settings.model, spec, x, seed=settings.training.seed, dtype=settings.training.dtype
    )
    return made  # type: ignore[no-any-return]


def load(path: str | os.PathLike[str], which: str = "best") -> Model:
    """The trained model of a run folder; ``which``: "best" by validation bound, or "last"."""
    return Run.open(path).load(which)


def data_of(config: DataConfig) -> Data:
    """The data that a run's [data] table describes."""
    if not config.name:
        raise ValueError(
            "the run names no data set or file: it was trained on an array; "
            "measure it from Python, bh.evaluate(bh.load(run), data)"
        )
    return load_data(
        config.name,
        binarisation=config.binarisation or None,
        valid=config.valid or None,
        limit=config.limit or None,
        kind=config.kind or None,
    )


def other_data(source: str, model: Model) -> Data:
    """Other data (a name or file) for a trained model: nothing held out, made binary if it asks."""
    data = load_data(source, valid=0)
    if data.spec.kind == "unit" and model.spec.kind == "binary":
        data = load_data(source, valid=0, binarisation="dynamic")
    if data.spec != model.spec and model.spec.kind != "real":
        raise ValueError(
            f"{source} holds {data.spec.kind} data of shape {data.spec.shape}, the model was "
            f"trained on {model.spec.kind} data of shape {model.spec.shape}"
        )
    return data


def read_settings(path: Path) -> Settings:
    """The settings in a config.toml."""
    name = model_name(path)
    defaults = {
        "model": model_class(name).Config(),
        "training": TrainConfig(),
        "data": DataConfig(),
    }
    tables = read_toml(path, defaults)
    return Settings(name, tables["model"], tables["training"], tables["data"])


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
    prefix = "constant/"
    kept = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    assign_constants(model, {name: _like(array, vector) for name, array in kept.items()})


def _like(array: Array, vector: Array) -> Array:
    """A host array, on the device of the model."""
    from backhand.numerics import xp_of

    return np.asarray(array) if xp_of(vector) is np else xp_of(vector).asarray(array)
