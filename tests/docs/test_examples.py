"""The examples run from any folder, as a user would run them, and say what they should."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import backhand as bh
from tests.docs.pages import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SECONDS = 60  # on a slow, busy machine; 3 on an idle one


def run(script, folder, *arguments):
    """Its standard output."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    return ended.stdout


def test_an_array_of_ones_own(tmp_path):
    said = run("own_array.py", tmp_path, str(tmp_path / "runs"))
    nats = {
        match[1]: (float(match[2]), float(match[3]))
        for match in re.finditer(r"^(\w+), k = 100: ([\d.]+) \+- ([\d.]+) nats", said, re.M)
    }
    truth = float(re.search(r"a Gaussian fitted to the same rows: ([\d.]+)", said)[1])
    # The data are Gaussian: no bound can be much better, and a trained one is close.
    assert nats["elbo"][0] > nats["iwae"][0] > truth - 0.1
    assert nats["iwae"][0] < truth + 0.2
    assert 0 < nats["iwae"][1] < 0.2
    data, samples = (
        np.array(re.search(rf"deviations, {of}: +(.*)", said)[1].split(), float)
        for of in ("data", "samples")
    )
    assert np.abs(samples / data - 1).max() < 0.2
    model = bh.load(tmp_path / "runs" / "table")
    assert model.params.parts == ("encoder", "decoder")


def test_a_broken_gradient_is_named(tmp_path):
    said = run("break_a_gradient.py", tmp_path)
    right, wrong = said.partition("Broken: ")[::2]
    errors = [float(number) for number in re.findall(r"right to (\S+), complex step", right)]
    assert len(errors) == 2
    assert max(errors) < 1e-14
    assert wrong.startswith("s: wrong; worst at s[")
    assert "off by a factor of -1 throughout (the sign)" in wrong


def test_the_poisson_model_is_a_module(tmp_path):
    """It is run by the page Add a model; alone it only defines the model."""
    assert run("poisson_vae.py", tmp_path) == ""


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_tested_and_says_what_it_is(script):
    text = script.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert script.name in (ROOT / "tests" / "docs" / "test_examples.py").read_text(encoding="utf-8")


def test_the_toy_bounds_have_their_order(tmp_path):
    """Values to four digits, found by enumeration and quadrature; DIWAE within five errors."""
    said = run("toy_bounds.py", tmp_path)
    value = {
        match[1]: float(match[2])
        for match in re.finditer(r"^(log p\(x\)|\w+(?: k=\d+)?) +(-[\d.]+)", said, re.M)
    }
    right = {
        "log p(x)": -1.5491, "L_cvae": -1.7582, "L_dvae": -2.2895, "independent": -0.1871,
        "L_0": -2.2895, "L_1": -2.0523, "L_3": -1.9142,
    }  # fmt: skip
    for name, expected in right.items():
        assert abs(value[name] - expected) < 1.01e-4, name
    order = ["L_dvae", "L_1", "L_3", "L_cvae", "log p(x)", "independent"]
    assert sorted(order, key=value.get) == order
    assert abs(value["DIWAE k=5"] + 1.9304) < 5 * 0.0015
    assert abs(value["DIWAE k=50"] + 1.7118) < 5 * 0.0013
