"""The harness on backend ``cuda``: on the double here, and on a GPU by ``pytest -m gpu``.

What runs on a GPU is what runs here, so the command is known to work where there is none.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backhand as bh
from backhand.kernels import philox
from tests.kernels import harness, more_checks
from tests.kernels.cases import MODULES
from tests.kernels.layouts import LAYOUTS
from tests.kernels.test_every_op import draw_sizes
from tests.tolerances import FLOAT32, FLOAT64

CASES = [pytest.param(case, id=case.name) for module in MODULES.values() for case in module.CASES]
each_case = pytest.mark.parametrize("case", CASES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def rng():
    return np.random.default_rng(0)


@each_case
def test_gradients(case, device):
    harness.check_gradient(case, rng(), case.sizes, "cuda")


@each_case
@each_dtype
def test_the_reference_agrees_whoever_went_forward(case, dtype, device):
    """In all layouts of memory, with the saved values of the other side too."""
    layouts = LAYOUTS[1:] if dtype == np.float32 else LAYOUTS
    harness.check_backend(case, rng(), case.sizes, "cuda", dtype, layouts, ["numpy"])


@each_case
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_sizes(case, data, device):
    sizes = draw_sizes(case, data, st.sampled_from([1, 2, 3, 7, 8, 9, 17, 31, 33, 40]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]), "dtype")
    harness.check_backend(case, rng(), sizes, "cuda", dtype, others=[])


@each_case
def test_contract_rows_and_errors(case, device):
    harness.check_contract(case, rng(), case.sizes, "cuda", np.float32)
    if case.batch:
        more_checks.check_rows(case, rng(), "cuda")
    more_checks.check_errors(case, rng(), "cuda")
    more_checks.check_signatures(case, "cuda")


@each_case
def test_empty(case, device):
    for letter in sorted(set(case.letters) - set(case.least)):
        sizes = {**case.sizes, letter: 0}
        more_checks.check_empty(case, rng(), sizes, "cuda", np.float32)


@each_dtype
def test_noise(dtype, device):
    """Bit for bit, but for normals: those to 2 units in the last place."""
    index, key = np.array([5, 0, 7, 2]), (3, 4)
    there = bh.to_device(index)
    p = rng().random((4, 6)).astype(dtype)
    for name, n in (("integers", (9,)), ("uniform", (9,)), ("bernoulli", (p,)), ("normal", (9,))):
        options = {"dtype": dtype} if name in ("uniform", "normal") else {}
        draw = getattr(philox, name)
        expected = draw(key, index, 2, *n, count=3, first=1, backend="numpy", **options)
        found = bh.to_host(
            draw(key, there, 2, *harness.placed(n, "cuda"), count=3, first=1, **options)
        )
        assert found.dtype == expected.dtype
        if name == "normal":
            assert (abs(found - expected) <= 2 * np.spacing(abs(expected))).all()
        else:
            assert found.tobytes() == expected.tobytes()


@each_dtype
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam(name, dtype, device):
    n, moved = 3000, []
    steps = rng().standard_normal((4, n))
    for backend, real in (("numpy", np.float64), ("cuda", dtype)):
        theta, *grads = harness.placed([x.astype(real) for x in steps], backend)
        optimizer = bh.make_optimizer(name, n, real, xp=bh.numerics.xp_of(theta))
        with bh.device.host_backend(backend):
            for grad in grads:
                optimizer.step(theta, grad, 0.01, 0.5)
        moved.append(bh.to_host(theta))
    harness.agree(moved[1], moved[0], FLOAT32 if dtype == np.float32 else FLOAT64)
