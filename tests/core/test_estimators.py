"""The estimators on a model of one dimension, whose numbers are known.

Prior N(0, 1), likelihood N(x; z, 1), q = N(0.2, 0.8^2), x = 1.3; the gradient is by the mean of q.
"""

import numpy as np
import pytest

from backhand.estimators import ESTIMATORS, Mixing

X, MEAN, STD = 1.3, 0.2, 0.8
DRAWS = 400_000
MIXING = Mixing()


def log_density(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


def gradients(estimator, k, mixing=MIXING):
    """(DRAWS / k,) single estimates of the gradient by the mean of q."""
    z = MEAN + STD * np.random.default_rng(7).standard_normal((k, DRAWS // k))
    log_w = log_density(z, 0, 1) + log_density(X, z, 1) - log_density(z, MEAN, STD)
    _, seeds = ESTIMATORS[estimator](log_w, mixing)
    slope = -z + (X - z)  # of log p(x, z); log q stays, as z moves along with the mean
    if seeds.path:
        slope = slope + (z - MEAN) / STD**2
    again = 1 if seeds.again is None else seeds.again
    return (seeds.phi * again * slope).sum(axis=0)


@pytest.mark.parametrize(
    ("estimator", "k", "mean", "deviation"),
    [
        ("iwae", 5, 0.164, 0.747), ("dreg", 5, 0.164, 0.047), ("stl", 5, 0.739, None),
        ("elbo", 1, 0.900, None), ("iwae", 1, 0.900, None), ("dreg", 1, 0.900, None),
        ("stl", 1, 0.900, None),
    ],
)  # fmt: skip
def test_gradient_by_the_mean_of_q(estimator, k, mean, deviation):
    found = gradients(estimator, k)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - mean) < 5 * error + 5e-4  # the table's last digit
    if deviation is not None:
        assert abs(found.std() - deviation) < 0.01 * deviation + 5e-4


@pytest.mark.parametrize(
    ("estimator", "k", "ratio"),
    [
        ("iwae", 1, 0.56), ("iwae", 5, 0.22), ("iwae", 50, 0.07),
        ("dreg", 1, 2.6), ("dreg", 5, 3.5), ("dreg", 50, 10.3),
    ],
)  # fmt: skip
def test_signal_to_noise(estimator, k, ratio):
    found = gradients(estimator, k)
    error = 1 / np.sqrt(len(found))
    assert abs(abs(found.mean()) / found.std() - ratio) < 5 * error * max(1, ratio) + 0.05 * ratio


def test_groups_and_mixtures_lie_between_the_elbo_and_the_iwae():
    rng = np.random.default_rng(0)
    log_w = rng.normal(-90, 3, (12, 500))
    low, high = (ESTIMATORS[name](log_w, Mixing())[0] for name in ("elbo", "iwae"))
    for name, mixing in (("miwae", Mixing(groups=3)), ("ciwae", Mixing(beta=0.4))):
        between = ESTIMATORS[name](log_w, mixing)[0]
        assert (low < between).all(), name
        assert (between < high).all(), name
    np.testing.assert_allclose(ESTIMATORS["miwae"](log_w, Mixing(groups=12))[0], low, rtol=1e-12)
    np.testing.assert_allclose(ESTIMATORS["ciwae"](log_w, Mixing(beta=1.0))[0], low, rtol=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_larger_log_weight_has_a_larger_seed(name):
    log_w = np.array([[-3.0], [-1.0], [-2.0], [0.0]])
    groups = 2 if name in ("miwae", "piwae") else 1
    _, seeds = ESTIMATORS[name](log_w, Mixing(groups=groups))
    assert seeds.theta.sum() == pytest.approx(1)
    assert seeds.phi.sum() == pytest.approx(1)
    if name != "elbo":
        assert seeds.theta[1] > seeds.theta[0]
        assert seeds.theta[3] > seeds.theta[2]
        assert seeds.phi[3] > seeds.phi[2]
