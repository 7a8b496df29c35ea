"""``backhand check``: everything is in the catalogue, and a planted error turns it red."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from backhand import backend as backends
from backhand import distributions, kernels, layers
from backhand.backend import Op
from backhand.checking.case import Case
from backhand.checking.catalogue import CASES, select
from backhand.checking.draws import Draws
from backhand.checking.prove import prove
from backhand.cli import main
from backhand.kernels import bernoulli_logits, gaussian_latent
from backhand.models import MODELS, networks, outputs

ROOT = Path(__file__).parents[2]
NO_GRADIENT = {"philox", "adam"}


def test_everything_with_a_gradient_is_in_the_catalogue():
    names = {case.name for case in CASES}
    ops = {module.name for module in pkgutil.iter_modules(kernels.__path__) if module.ispkg}
    assert ops - NO_GRADIENT <= names
    for op in NO_GRADIENT:
        assert not hasattr(import_module(f"backhand.kernels.{op}"), "backward")
    made = {name for name in layers.__all__ if name not in ("Initial", "State", "activation")}
    assert made <= names
    functions = inspect.getmembers(distributions, inspect.isfunction)
    assert {n for n, f in functions if f.__module__ == distributions.__name__} <= names
    classes = inspect.getmembers(outputs, dataclasses.is_dataclass)
    made = {n for n, c in classes if c.__module__ == outputs.__name__ and "__call__" in vars(c)}
    assert made
    assert made <= names
    assert set(MODELS) <= names
    assert all(
        hasattr(networks, name) for name in ("GaussianNet", "Decoder")
    )  # whole models prove them


def test_labels_are_unique():
    labels = [case.label for case in CASES]
    assert len(labels) == len(set(labels))


def test_every_gradient_is_proven():
    receipts, skipped = prove(CASES)
    assert not [r for r in receipts if not r.ok]
    assert not skipped
    limits = {"op": 1e-12, "layer": 1e-12, "model": 1e-9}
    for r in receipts:
        assert r.method == "complex step"
        assert r.tolerance == limits[r.kind]
        assert r.max_rel_error <= 1e-13  # what was measured; the promise is the tolerance
    assert {r.name for r in receipts} == {case.label for case in CASES}


def test_free_bits_hold_some_dimensions_back_and_not_others():
    (case,) = select(["vae[gaussian, weighted, free bits]"])
    subject = case.make(Draws(8))
    weights = subject.settings[2]
    model = subject.model
    q = model.encode(subject.batch)
    kl = 0.5 * (q.mean**2 + np.exp(q.logvar) - 1 - q.logvar).mean(axis=0)
    assert 0 < (kl < weights.free_bits).sum() < len(kl)


# -- the command ---------------------------------------------------------------------


def test_json(capsys):
    assert main(["check", "Linear", "bernoulli_logits", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(r["name"], r["wrt"]) for r in rows} >= {("Linear", "W"), ("bernoulli_logits", "x")}
    keys = {"name", "kind", "wrt", "method", "max_rel_error", "tolerance", "ok", "reason"}
    assert all(set(r) == keys for r in rows)
    assert all(r["ok"] is True and r["max_rel_error"] < r["tolerance"] for r in rows)


def test_table(capsys):
    assert main(["check", "Dense[to one]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "wrt", "method", "error", "allowed"]
    assert lines[1].startswith("Dense[to one]  x    complex step  ")
    assert lines[-1] == "3 of 3 ok"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["softmaxx"], "nothing called 'softmaxx' to check; there are bernoulli_logits, "),
        (["--backend", "cudaa"], "unknown backend 'cudaa'; there are numpy, "),
        (["--backend", "cuda"], "backend 'cuda' is not available: "),
    ],
)
def test_wrong_use(arguments, words, capsys):
    assert main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert not captured.out


def test_what_crashes_is_not_ok_and_the_rest_goes_on(monkeypatch, capsys):
    def make(draws):
        raise ZeroDivisionError("planted")

    broken = Case("broken", "", "op", make)
    monkeypatch.setattr("backhand.checking.catalogue.CASES", (broken, *select(["Linear"])))
    assert main(["check", "--json"]) == 1
    first, *rest = json.loads(capsys.readouterr().out)
    assert (first["name"], first["ok"], first["method"]) == ("broken", False, "crashed")
    assert first["reason"] == "ZeroDivisionError: planted"
    assert first["max_rel_error"] is None
    assert rest
    assert all(r["ok"] for r in rest)
    assert main(["check"]) == 1
    assert "broken: : ZeroDivisionError: planted" in capsys.readouterr().out


# -- another backend -----------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    """bernoulli_logits on a backend of our own, of which a test can spoil either half."""
    reference = import_module("backhand.kernels.bernoulli_logits.reference")
    module = types.ModuleType("backhand.kernels.bernoulli_logits.stand_in")
    module.calls = []

    def forward(x, logits):
        module.calls.append("forward")
        logp, saved = reference.forward(x, logits)
        return logp * module.forward_factor, saved

    def backward(d_logp, saved, need_x):
        module.calls.append("backward")
        dx, d_logits = reference.backward(d_logp, saved, need_x)
        return dx, d_logits * module.backward_factor

    module.forward, module.backward = forward, backward
    module.forward_factor = module.backward_factor = 1.0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(
        bernoulli_logits,
        "OP",
        Op(bernoulli_logits.__name__, **{**bernoulli_logits.OP.modules, "numba": "stand_in"}),
    )
    real = backends.status
    available = backends.Status(True, "a stand-in")
    monkeypatch.setattr(backends, "status", lambda n: available if n == "numba" else real(n))
    return module


def failed(capsys):
    return {(r["wrt"], r["method"]) for r in json.loads(capsys.readouterr().out) if not r["ok"]}


def test_a_backend_is_compared_with_the_reference_forward_and_backward(stand_in, capsys):
    assert main(["check", "bernoulli_logits", "--backend", "numba", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(r["wrt"], r["method"]) for r in rows} == {
        ("outputs", "reference"),
        ("x", "complex step"),
        ("logits", "complex step"),
    }
    assert {"forward", "backward"} <= set(stand_in.calls)


def test_a_wrong_backward_of_a_backend_is_caught(stand_in, capsys):
    stand_in.backward_factor = 1 + 1e-9
    assert main(["check", "bernoulli_logits", "--backend", "numba", "--json"]) == 1
    assert failed(capsys) == {("logits", "complex step")}
    assert main(["check", "bernoulli_logits"]) == 0  # the reference is still right


def test_a_wrong_forward_of_a_backend_is_caught(stand_in, capsys):
    stand_in.forward_factor = 1 + 1e-9
    assert main(["check", "bernoulli_logits", "--backend", "numba", "--json"]) == 1
    assert failed(capsys) == {("outputs", "reference")}


def test_what_a_backend_has_no_form_of_is_said_and_proves_nothing(stand_in, monkeypatch, capsys):
    alone = Op(gaussian_latent.__name__, numpy="reference")
    monkeypatch.setattr(gaussian_latent, "OP", alone)
    assert main(["check", "bernoulli_logits", "gaussian_latent", "--backend", "numba"]) == 0
    captured = capsys.readouterr()
    assert "not checked, as gaussian_latent has no numba form" in captured.err
    assert "gaussian_latent" not in captured.out
    assert main(["check", "gaussian_latent", "Linear", "--backend", "numba"]) == 2
    assert "gaussian_latent has no numba form" in capsys.readouterr().err


# -- planted errors in a copy of the package -----------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package's sources, copied; the folder that must come first on the path."""
    folder = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.npz")
    shutil.copytree(ROOT / "core", folder / "backhand", ignore=ignore)
    kernels_of = Path(kernels.__file__).parent
    shutil.copytree(kernels_of, folder / "backhand" / "kernels", ignore=ignore)
    return folder


def check(folder, *names):
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("BACKHAND_BACKEND", None)
    command = [sys.executable, "-m", "backhand", "check", "--json", *names]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {r["name"] for r in json.loads(done.stdout) if not r["ok"]}


def test_the_clean_copy_is_right(copy):
    assert check(copy, "bernoulli_logits", "gaussian_latent", "Dense", "vae") == (0, set())


@pytest.mark.parametrize(
    ("file", "old", "new", "names", "caught"),
    [
        (
            "kernels/bernoulli_logits/reference.py", "d * (x - sigmoid", "d * (x + sigmoid",
            ["bernoulli_logits", "Dense"], {"bernoulli_logits", "bernoulli_logits[logits=1e4]"},
        ),
        (
            "kernels/gaussian_latent/reference.py", "+ dkl * mean", "- dkl * mean",
            ["gaussian_latent"], {"gaussian_latent", "gaussian_latent[logvar=50]",
                                  "gaussian_latent[logvar=-50]"},
        ),
        (
            "models/vae.py", "d_kl = (-weights.kl * d)", "d_kl = (weights.kl * d)",
            ["vae[bernoulli]", "Linear"], {"vae[bernoulli]"},
        ),
        (
            "models/draw.py", "Canvas(d.c - less", "Canvas(d.c + less",
            ["draw[no attention]", "Linear"], {"draw[no attention]"},
        ),
        (
            "models/glimpses.py", "State(d_before.h + dh, d_before.c)", "d_before",
            ["glimpses", "Linear"], {"glimpses", "glimpses[colour, weighted]"},
        ),
        (
            "models/glimpse.py", "return back_window(d_head, g.window)",
            "return 2 * back_window(d_head, g.window)",
            ["glimpses", "Linear"], {"glimpses", "glimpses[colour, weighted]"},
        ),
        (
            "kernels/dense/reference.py", "sum_rows(da)", "sum_rows(da / len(da))",
            ["dense", "gaussian_latent"], {"dense[tanh]", "dense[identity]"},
        ),
        (
            "kernels/bernoulli_logits/reference.py", "from typing import NamedTuple", "import nil",
            ["bernoulli_logits", "Linear"], {"bernoulli_logits", "bernoulli_logits[logits=1e4]"},
        ),
    ],
)  # fmt: skip
def test_an_error_planted_in_a_copy_of_the_package_is_caught(copy, file, old, new, names, caught):
    path = copy / "backhand" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        assert check(copy, *names) == (1, caught)
    finally:
        path.write_text(text)
