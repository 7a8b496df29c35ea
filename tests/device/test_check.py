"""``backhand check --backend cuda``: the receipts of what runs on the device."""

import json

import pytest

import backhand as bh
from backhand.checking.catalogue import select
from backhand.checking.prove import prove
from backhand.cli import main
from backhand.kernels.bias_activation import cuda as form
from tests.device.engine import Log

CASES = [case for case in select([]) if case.kind in ("op", "layer")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_gradients_on_the_device_are_proven(case, device):
    receipts, skipped = prove([case], "cuda")
    assert not [receipt for receipt in receipts if not receipt.ok]
    assert {receipt.method for receipt in receipts} >= {"reference"}
    assert not skipped


def test_a_model_is_proven_in_kernels(cupy, capsys):
    assert main(["check", "vae", "--backend", "cuda"]) == 0
    assert "gaussian_latent_backward" in {launch.kernel for launch in Log.launches}


def test_a_planted_error_of_a_part_in_a_million_is_found(cupy, monkeypatch, capsys):
    right = form.backward
    monkeypatch.setattr(form, "backward", lambda *a: (1.000001 * right(*a)[0], right(*a)[1]))
    assert main(["check", "bias_activation[tanh]", "--backend", "cuda", "--json"]) == 1
    assert {r["wrt"] for r in json.loads(capsys.readouterr().out) if not r["ok"]} == {"a"}


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    if bh.backends()["cuda"].available:
        pytest.skip("there is a GPU")
    assert main(["check", "bias_activation", "--backend", "cuda"]) == 2
    assert "backend 'cuda' is not available" in capsys.readouterr().err
