import numpy as np
import pytest

from backhand.columns import moments
from backhand.model import Batch, DataSpec
from backhand.models.vae import VAE, VAEConfig
from backhand.models.vectors import Scaling
from backhand.noise import Noise


def table(dtype, value, n=1000):
    varied = np.random.default_rng(0).normal(5, 2, n)
    return np.stack([varied, np.full(n, value)], axis=1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 7.0, 1e9, 1e-30])
def test_a_constant_column_keeps_scale_1(dtype, value):
    x = table(dtype, value)
    scaling = Scaling.fit(x, 2, dtype)
    assert scaling.scale.dtype == scaling.shift.dtype == dtype
    assert scaling.scale[1] == 1
    assert np.isclose(scaling.scale[0], x[:, 0].std(), rtol=1e-5)
    assert np.isclose(scaling.log_volume(), np.log(scaling.scale[0]), rtol=1e-5)
    assert (scaling(x)[:, 1] == 0).all()
    assert np.allclose(scaling.undo(scaling(x)), x, rtol=1e-5)


def test_what_numpy_takes_for_the_deviation_of_a_constant_is_rounding():
    x = table("float64", 0.1)
    assert x[:, 1].std() > 0  # else this file tests nothing
    jitter = x.copy()
    jitter[::2, 1] = np.nextafter(0.1, 1)
    assert moments(jitter)[1][1] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_column_adds_no_nats(dtype):
    """The bound of a model with one more constant column lacks only that column's own term."""
    found = []
    for value in (0.0, 0.1):
        x = table(dtype, value, 50)
        model = VAE.create(VAEConfig(hidden=(4,), latent=2), DataSpec((2,), "real"), x, dtype=dtype)
        found.append(model.bound(Batch(x, np.arange(50)), Noise(0)).value)
    assert np.allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_varied_columns_of_any_size_keep_their_deviation(size):
    x = np.random.default_rng(1).normal(3, 1, (500, 2))
    assert np.allclose(moments(x * size)[1] / size, x.std(axis=0), rtol=1e-12)


def test_whole_numbers_are_exact():
    x = np.array([[10**15, 3], [10**15 + 2, 3]])
    assert moments(x)[1].tolist() == [1, 0]


def test_a_deviation_that_the_type_cannot_hold_divides_nothing():
    x = np.random.default_rng(1).normal(size=(20, 1)) * 1e-60
    assert Scaling.fit(x, 1, "float32").scale.tolist() == [1]


def test_without_data_nothing_is_scaled():
    y = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    assert np.array_equal(Scaling.fit(None, 2, "float32")(y), y)
