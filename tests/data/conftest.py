import os
from pathlib import Path

import pytest

from backhand.data import store


@pytest.fixture
def full_data():
    """The folder of a full data set, or a skip that says what is missing."""

    def folder(name):
        root = os.environ.get("BACKHAND_DATA")
        if not root:
            pytest.skip("needs the full data sets: set BACKHAND_DATA to their folder")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"BACKHAND_DATA has no folder {name}")
        return Path(root) / name

    return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data on this machine but those in the package; the cache is an empty folder."""
    monkeypatch.delenv("BACKHAND_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return store.cache()
