"""The fake cases in the place of the real ones, and blocks of a hundredth of a second."""

import os
from pathlib import Path

import pytest

from backhand.bench.harness import case, runner
from tests.bench import fake_cases

HERE = Path(__file__).parent
FOUND = {found.case.name: found for found in case.cases_of(fake_cases)}


@pytest.fixture
def fake(monkeypatch):
    """``fake.CASES`` are what there is, and importing torch and jax gives the fake ones."""
    paths = [str(HERE / "fake_peers"), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setattr(case, "all_cases", lambda: list(FOUND.values()))
    monkeypatch.setattr(runner, "PAUSE", 0.0)
    monkeypatch.setattr(runner, "REST", 0.0)
    monkeypatch.setattr(runner, "BLOCK", 0.01)
