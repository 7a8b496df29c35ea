"""Recipes that come with the package: ``backhand train iwae --config iwae-short``.

Each is a configuration file; what a flag or ``--set`` says counts more.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
PRESETS = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def config_file(name: str) -> Path:
    """The preset of this name, else the file of this name.

    Raises FileNotFoundError, which lists the presets.
    """
    if name in PRESETS:
        return FOLDER / f"{name}.toml"
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"{name} is neither a file nor a preset; presets are {', '.join(PRESETS)}"
        )
    return Path(name)
