"""Models: one file each, from the paper's equations to the sampling."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

INTERFACE = ("Config", "objectives", "create", "over", "bound")
LATENT = ("log_weights", "encode", "sample", "reconstruct")  # what a classifier has not
# Name on the command line -> where the class is.
MODELS = {
    "vae": "backhand.models.vae:VAE",
    "iwae": "backhand.models.iwae:IWAE",
    "dvae": "backhand.models.dvae:DVAE",
    "draw": "backhand.models.draw:DRAW",
    "glimpses": "backhand.models.glimpses:GlimpseClassifier",
    "auxiliary-vae": "backhand.models.auxiliary:AuxiliaryVAE",
}


def model_name(kind: type[Any]) -> str:
    """The name under which ``model_class`` finds a class again."""
    place = f"{kind.__module__}:{kind.__qualname__}"
    return next((name for name, known in MODELS.items() if known == place), place)


def model_class(name: str) -> type[Any]:
    """The model class of that name, or of a ``package.module:Class`` of the user's own.

    A module of the user's own is looked for on ``sys.path``, then in the current folder.  Raises
    ValueError for a class that cannot be imported or lacks a part of the model interface.
    """
    place = MODELS.get(name, name)
    module, colon, attribute = place.partition(":")
    if not colon:
        raise ValueError(
            f"unknown model {name!r}; there are {', '.join(MODELS)}, "
            "and package.module:Class names one of your own"
        )
    try:
        with nullcontext() if name in MODELS else _current_folder():
            imported: Any = importlib.import_module(module)
            found = reduce(getattr, attribute.split("."), imported)
    except Exception as error:  # a module of the user's own may raise anything
        reason = _reason(module, attribute, error)
        raise ValueError(f"model {name!r} cannot be imported: {reason}") from error
    parts = INTERFACE if is_classifier(found) else INTERFACE + LATENT
    missing = [part for part in parts if not hasattr(found, part)]
    if missing:
        raise ValueError(f"model {name!r} lacks {', '.join(missing)} of the model interface")
    return found  # type: ignore[no-any-return]


def is_classifier(model: Any) -> bool:
    """Whether its ``bound`` is log p(y | x), with ``predict`` and ``check_labels`` beside it."""
    return hasattr(model, "predict")


def check_labels(model: Any, *parts: Any) -> None:
    """Raises ValueError where a part of the data (None: there is none) lacks what is learned."""
    for part in parts:
        if part is not None and is_classifier(model):
            model.check_labels(part.y, f"the {part.name} data")


@contextmanager
def _current_folder() -> Iterator[None]:
    """Modules of the current folder can be imported; behind all others, so they hide none."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        if folder in sys.path:  # the module may have changed it
            sys.path.reverse()
            sys.path.remove(folder)
            sys.path.reverse()


def _reason(module: str, attribute: str, error: Exception) -> str:
    if module == "__main__":
        return (
            f"{attribute} was defined in a script or notebook, which other programs cannot import; "
            f"move it into a module of its own, mymodel.py, and name it mymodel:{attribute}"
        )
    missing = isinstance(error, ModuleNotFoundError) and error.name
    if missing and f"{module}.".startswith(f"{missing}."):
        return (
            f"there is no module {missing} in the current folder, {Path.cwd()}, nor among the "
            f"installed ones; run from the folder that holds {missing}, or put it into PYTHONPATH"
        )
    if isinstance(error, ImportError | AttributeError):
        return str(error)
    return f"its module raised {type(error).__name__}: {error}"
