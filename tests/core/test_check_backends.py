"""``backhand check --backend X`` on the backends that are really there."""

import json
from importlib import import_module

import pytest

from backhand.backend import Op, all_ops
from backhand.checking.catalogue import CASES, select
from backhand.checking.prove import prove
from backhand.cli import main
from tests.kernels.harness import needs

OPS = {op.OP.name: op.OP for op in all_ops()}
each_backend = pytest.mark.parametrize("backend", ["numba", "native"])


@each_backend
def test_every_op_that_the_backend_has_is_proven_on_it(backend):
    needs(backend)
    receipts, skipped = prove([case for case in CASES if case.kind == "op"], backend)
    assert not [r for r in receipts if not r.ok]
    catalogued = {case.name for case in CASES if case.kind == "op"}
    has_form = {name for name in catalogued if backend in OPS[name].modules}
    assert {r.name.partition("[")[0] for r in receipts} == has_form
    assert {label.partition("[")[0] for label, _ in skipped} == catalogued - has_form
    for case in select(sorted(has_form)):
        methods = {r.method for r in receipts if r.name == case.label}
        assert methods == {"reference", "complex step"}


@each_backend
@pytest.mark.parametrize("half", ["forward", "backward"])
def test_a_planted_error_of_a_part_in_a_million_is_found(backend, half, monkeypatch, capsys):
    needs(backend)
    module = OPS["bias_activation"].implementation(backend)
    right = getattr(module, half)

    def wrong(*args):
        first, *rest = right(*args)
        return (1.000001 * first, *rest)

    command = ["check", "bias_activation[tanh]", "--backend", backend, "--json"]
    assert main(command) == 0
    capsys.readouterr()
    monkeypatch.setattr(module, half, wrong)
    assert main(command) == 1
    bad = {r["wrt"] for r in json.loads(capsys.readouterr().out) if not r["ok"]}
    assert ("outputs" if half == "forward" else "a") in bad
    assert main(["check", "bias_activation[tanh]"]) == 0  # the reference is as it was


def test_what_is_not_checked_is_counted(monkeypatch, capsys):
    needs("native")
    alone = Op("backhand.kernels.gaussian_latent", numpy="reference")
    monkeypatch.setattr(import_module("backhand.kernels.gaussian_latent"), "OP", alone)
    names = ["bias_activation", "gaussian_latent"]
    assert main(["check", *names, "--backend", "native"]) == 0
    captured = capsys.readouterr()
    left_out = len(select(["gaussian_latent"]))
    assert captured.out.splitlines()[-1].endswith(f" ok, {left_out} not checked")
    assert "not checked, as gaussian_latent has no native form" in captured.err
