"""Models: one file each, from the paper's equations to the sampling."""

from __future__ import annotations

import importlib
from typing import Any

# Name on the command line -> where the class is.
MODELS = {"vae": "backhand.models.vae:VAE"}


def model_name(kind: type[Any]) -> str:
    """The name under which ``model_class`` finds a class again."""
    place = f"{kind.__module__}:{kind.__qualname__}"
    return next((name for name, known in MODELS.items() if known == place), place)


def model_class(name: str) -> type[Any]:
    """The model class of that name, or of a ``package.module:Class`` of the user's own."""
    place = MODELS.get(name, name)
    module, colon, attribute = place.partition(":")
    if not colon:
        raise ValueError(
            f"unknown model {name!r}; there are {', '.join(MODELS)}, "
            "and package.module:Class names one of your own"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model {name!r} cannot be imported: {error}") from error
    wanted = ("Config", "create", "over", "bound", "log_weights", "encode", "sample", "reconstruct")
    missing = [method for method in wanted if not hasattr(found, method)]
    if missing:
        raise ValueError(f"model {name!r} lacks {', '.join(missing)} of the model interface")
    return found  # type: ignore[no-any-return]
