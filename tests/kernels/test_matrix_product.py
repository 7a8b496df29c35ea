"""A matrix that is packed once for many products."""

from importlib import import_module

import numpy as np
import pytest

from backhand.kernels import matrix_product
from backhand.kernels.matrix_product import packed, times, times_transposed
from backhand.kernels.matrix_product.reference import Packed
from backhand.threads import FEW_ROWS, blas_threads
from tests.kernels import harness
from tests.tolerances import FLOAT32, FLOAT64

TOLERANCE = {"float32": FLOAT32, "float64": FLOAT64}


@pytest.fixture
def native():
    harness.needs("native")
    with blas_threads(1):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 5, 7, 50])
@pytest.mark.parametrize(
    ("terms", "columns"), [(1, 1), (3, 17), (8, 16), (40, 33), (193, 5), (600, 70)]
)
def test_products_of_a_packed_matrix(native, dtype, rows, terms, columns):
    rng = np.random.default_rng(0)
    x, W, dy = (
        rng.uniform(0.5, 1.5, s) for s in ((rows, terms), (terms, columns), (rows, columns))
    )
    x, W, dy = (a.astype(dtype) for a in (x, W, dy))
    ready = packed(W, backend="native")
    assert isinstance(ready, Packed)
    for found, right in (
        (times(x, ready), x.astype(float) @ W.astype(float)),
        (times_transposed(dy, ready), dy.astype(float) @ W.astype(float).T),
    ):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=TOLERANCE[dtype])
    lead = x.reshape(1, rows, terms)
    assert np.array_equal(times(lead, ready)[0], times(x, ready))


def test_it_stays_what_it_was_when_it_was_packed(native):
    W = np.eye(3)
    ready, x = packed(W, backend="native"), np.ones((2, 3))
    W *= 2
    assert np.array_equal(times(x, ready), x)


def test_many_rows_and_other_backends_take_the_matrix_itself(native):
    rng = np.random.default_rng(0)
    W, x = rng.random((5, 4)), rng.random((FEW_ROWS + 1, 5))
    panels = np.full(16 * 8, np.nan)  # nobody may read them
    ready = packed(W, backend="native")._replace(panels=panels, transposed=panels)
    np.testing.assert_allclose(times(x, ready), x @ W, rtol=1e-14)
    np.testing.assert_allclose(times_transposed(x @ W, ready), x @ W @ W.T, rtol=1e-14)
    z = x[:2] + 1j  # complex numbers run the reference
    assert np.array_equal(times(z, ready), z @ W)
    assert np.array_equal(times_transposed(z @ W, ready), z @ W @ W.T)


@pytest.mark.parametrize("backend", ["numpy", "numba", "native", "emulated"])
def test_it_is_packed_only_where_that_makes_products_faster(backend):
    harness.needs(backend)
    W = np.ones((3, 2))
    with blas_threads(2):
        assert packed(W, backend=backend) is W
    with blas_threads(1):
        assert isinstance(packed(W, backend=backend), Packed) == (backend == "native")
        assert packed(W + 1j, backend=backend).dtype == complex


def test_panels_of_another_size_are_refused(native):
    ready = packed(np.ones((3, 20)), backend="native")
    with pytest.raises(ValueError, match="must agree"):
        matrix_product.OP.implementation("native").times(np.ones((2, 4)), ready)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rows", "terms", "columns"),
    [(24, 17, 40), (25, 209, 40), (126, 417, 16), (127, 208, 300), (300, 500, 9), (131, 1, 140)],
)
def test_rows_terms_and_panels_in_several_blocks(native, dtype, rows, terms, columns):
    """The compiled products themselves, whatever BLAS would be given."""
    rng = np.random.default_rng(0)
    x, W, dy = (
        rng.uniform(0.5, 1.5, s) for s in ((rows, terms), (terms, columns), (rows, columns))
    )
    exact = x @ W, dy @ W.T, x.T @ dy
    x, W, dy = (a.astype(dtype) for a in (x, W, dy))
    compiled, dW = import_module("backhand._native").matrix_product, np.empty_like(W)
    compiled.outer(x, dy, dW)
    found = compiled.times(x, W), compiled.times_transposed(dy, W), dW
    for product, right in zip(found, exact, strict=True):
        np.testing.assert_allclose(product, right, rtol=TOLERANCE[dtype])
