"""What a run was asked to do: its three tables, its data, and what may change on resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from backhand.config import DataConfig, TrainConfig, model_name, read_toml
from backhand.data import Data
from backhand.data import load as load_data
from backhand.model import Model
from backhand.models import model_class

# What may differ between a run and its continuation.
ON_RESUME = (
    "training.epochs", "training.steps", "training.patience", "training.checkpoint_minutes",
)  # fmt: skip


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

    def must_allow(self, later: Settings, where: Path) -> None:
        """Raise unless a run of these settings may go on with ``later``: longer, nothing else."""
        if self.name != later.name:
            raise ValueError(f"{where} holds a run of {self.name!r}, not of {later.name!r}")
        for table, config in later.tables.items():
            for field in fields(config):
                name = f"{table}.{field.name}"
                before, now = getattr(self.tables[table], field.name), getattr(config, field.name)
                if before != now and name not in ON_RESUME:
                    raise ValueError(
                        f"{where} was trained with {name} = {before!r}, so it cannot go on with "
                        f"{now!r}; leave it out, or start another run"
                    )
        old, new = self.training, later.training
        longer = (old.epochs, old.steps) != (new.epochs, new.steps)
        if longer and new.schedule != "constant":
            raise ValueError(
                f"{where} has a {new.schedule} schedule, which depends on the length of the run; "
                "only a run with schedule constant can be made longer"
            )


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
        scene=config.scene or None,
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


def fingerprint(data: Data) -> dict[str, Any]:
    """What tells data apart: the digests of their files or arrays, and the sizes of the parts."""
    digests: Mapping[str, str] = data.info["sha256"]
    parts = (data.train, data.valid, data.test)
    return {
        "sha256": sorted(digests.values()),
        "sizes": [0 if part is None else len(part) for part in parts],
    }
