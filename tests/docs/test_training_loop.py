"""The visible training loop of docs/training-loop.md is ``fit``, bit for bit."""

import re

import numpy as np
import pytest

import backhand as bh
from tests.docs.pages import ROOT, blocks

LOOP, PROOF = (block.text for block in blocks(ROOT / "docs" / "training-loop.md"))
CONFIGS = [
    'epochs=2, batch=300, optimizer="adamax", lr=1e-2, schedule="step", decay=0.3, seed=5',
    'epochs=2, batch=128, optimizer="sgd", momentum=0.5, lr=1e-4, free_bits=0.5, k=2',
    'epochs=1, batch=100, optimizer="adamw", weight_decay=0.1, clip=1.0, kl_warmup=0.5',
]


@pytest.mark.parametrize("settings", CONFIGS)
def test_the_loop_gives_the_parameters_of_fit(settings):
    config = eval(f"bh.TrainConfig({settings})")
    source, count = re.subn(r"^config = .*$", "config = given", LOOP, flags=re.M)
    assert count == 1
    space = {"given": config}
    exec(source, space)
    model, data = space["model"], space["data"]
    start = bh.VAE.create(model.config, data.spec, data.train.x)
    twin = bh.VAE.create(model.config, data.spec, data.train.x)
    bh.fit(twin, data, config)
    assert np.array_equal(twin.params.vector, model.params.vector)
    assert not np.array_equal(start.params.vector, model.params.vector)


def test_the_page_has_its_own_proof():
    assert "np.array_equal(twin.params.vector, model.params.vector)" in PROOF


def test_the_loop_is_short():
    assert len([line for line in LOOP.splitlines() if line.strip()]) <= 40
