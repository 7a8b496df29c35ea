"""Each optimiser against the published rule, written out in plain float64."""

import numpy as np
import pytest

from backhand.kernels.adam.reference import BLOCK
from backhand.optim import RULES, TrainingDiverged, clip_scale, global_norm, make_optimizer
from backhand.params import Entry
from tests.training import torch_answers

SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]
SETTINGS = {
    "adam": {"beta1": 0.8, "beta2": 0.98, "eps": 1e-3},
    "adamw": {"beta1": 0.8, "beta2": 0.98, "eps": 1e-3, "weight_decay": 0.3},
    "adamax": {"beta1": 0.8, "beta2": 0.98, "eps": 1e-3},
    "rmsprop": {"rms_decay": 0.8, "eps": 1e-3},
    "sgd": {"momentum": 0.8},
    "iwae_author": {},
}
RATES = [0.02, 0.03, 0.01, 0.02, 0.005, 0.01]
SCALES = [1.0, 0.5, 1.0, 2.0, 0.1, 1.0]
# Six steps of a dozen roundings of half an eps each, of values of the order of one.
ULPS = 6


def published(name, theta, grads, *, flaw=False, **s):
    """The rules as published, one plain expression after the other, in float64.

    flaw: with an error of the common kind (no bias correction, eps under the root, damped
    momentum), to see that the comparison finds it.
    """
    theta = theta.astype(np.float64)
    m, v, u, velocity = (np.zeros_like(theta) for _ in range(4))
    for t, (grad, lr, scale) in enumerate(zip(grads, RATES, SCALES, strict=True), 1):
        g = grad.astype(np.float64) * scale
        if name in ("adam", "adamw"):
            m = s["beta1"] * m + (1 - s["beta1"]) * g
            v = s["beta2"] * v + (1 - s["beta2"]) * g**2
            m_hat = m if flaw else m / (1 - s["beta1"] ** t)
            v_hat = v / (1 - s["beta2"] ** t)
            new = theta - lr * m_hat / (np.sqrt(v_hat) + s["eps"])
            theta = new - lr * s.get("weight_decay", 0.0) * theta
        elif name == "adamax":
            m = s["beta1"] * m + (1 - s["beta1"]) * g
            u = np.maximum(s["beta2"] * u, np.abs(g) + s["eps"])
            theta = theta - lr / (1 if flaw else 1 - s["beta1"] ** t) * m / u
        elif name == "rmsprop":
            v = s["rms_decay"] * v + (1 - s["rms_decay"]) * g**2
            root = np.sqrt(v + s["eps"]) if flaw else np.sqrt(v) + s["eps"]
            theta = theta - lr * g / root
        elif name == "iwae_author":  # v begins at 1; flaw: at 0
            v = np.ones_like(theta) if t == 1 and not flaw else v
            m, v = 0.99 * m + 0.01 * g, 0.999 * v + 0.001 * g**2
            rate = lr * np.sqrt(1 - 0.999**t) / (1 - 0.99**t)
            theta = theta - rate * m / (np.sqrt(v) + 1e-4)
        else:
            velocity = s["momentum"] * velocity + (1 - s["momentum"] if flaw else 1) * g
            theta = theta - lr * velocity
    return theta


def problem(n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, n).astype(dtype)
    grads = [rng.standard_normal(n).astype(dtype) for _ in RATES]
    for g in grads:
        g[3::7] = 0
    return theta, grads


def run(name, theta, grads, **settings):
    theta = theta.copy()
    optimizer = make_optimizer(name, theta.size, theta.dtype, **settings)
    for grad, lr, scale in zip(grads, RATES, SCALES, strict=True):
        optimizer.step(theta, grad, lr, scale)
    return theta, optimizer


def difference(ours, expected):
    return float(np.max(np.abs(ours - expected) / (np.finfo(ours.dtype).eps * (1 + abs(expected)))))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_the_published_rule(name, n, dtype):
    theta, grads = problem(n, dtype)
    ours, optimizer = run(name, theta, grads, **SETTINGS[name])
    assert ours.dtype == dtype
    assert difference(ours, published(name, theta, grads, **SETTINGS[name])) < ULPS
    assert {a.dtype for key, a in optimizer.state.items() if key != "step"} == {np.dtype(dtype)}
    assert optimizer.state["step"] == len(RATES)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_comparison_catches_planted_errors(name, dtype):
    theta, grads = problem(500, dtype)
    wrong = published(name, theta, grads, flaw=True, **SETTINGS[name])
    assert difference(run(name, theta, grads, **SETTINGS[name])[0], wrong) > 1000 * ULPS


@pytest.mark.parametrize("name", torch_answers.ANSWERS)
def test_equals_pytorch(name):
    theta, grads = torch_answers.THETA, torch_answers.GRADS
    assert (torch_answers.RATES, torch_answers.SCALES) == (RATES, SCALES)
    expected = np.array(torch_answers.ANSWERS[name])
    assert difference(run(name, theta, grads, **SETTINGS[name])[0], expected) < 2 * ULPS
    assert (np.abs(expected - theta) > 1e-3).all()  # every number has moved


@pytest.mark.parametrize(
    ("name", "setting"), [(name, key) for name, rule in RULES.items() for key in rule.settings]
)
def test_every_setting_changes_the_outcome(name, setting):
    theta, grads = problem(50, "float64")
    base = SETTINGS[name]
    changed = run(name, theta, grads, **base | {setting: 0.5 * base[setting]})[0]
    assert difference(run(name, theta, grads, **base)[0], changed) > 1e6


@pytest.mark.parametrize("name", RULES)
def test_defaults_are_those_of_the_table(name):
    assert make_optimizer(name, 3, "float32").settings == RULES[name].settings


@pytest.mark.parametrize("name", RULES)
def test_slices_under_three_optimisers_equal_one_over_all(name):
    theta, grads = problem(BLOCK + 50, "float32")
    whole = run(name, theta, grads)[0]
    cuts = [slice(0, 11), slice(11, BLOCK), slice(BLOCK, None)]
    parts = [make_optimizer(name, theta[cut].size, "float32") for cut in cuts]
    theta = theta.copy()
    for grad, lr, scale in zip(grads, RATES, SCALES, strict=True):
        for optimizer, cut in zip(parts, cuts, strict=True):
            optimizer.step(theta[cut], grad[cut], lr, scale)
    np.testing.assert_array_equal(theta, whole)


@pytest.mark.parametrize("name", RULES)
def test_a_saved_state_continues_bit_for_bit(name):
    theta, grads = problem(40, "float32")
    whole = run(name, theta, grads)[0]
    first = make_optimizer(name, 40, "float32")
    theta = theta.copy()
    for i in range(3):
        first.step(theta, grads[i], RATES[i], SCALES[i])
    saved = {key: value.copy() for key, value in first.state.items()}
    second = make_optimizer(name, 40, "float32")
    second.load_state(saved)
    for i in range(3, 6):
        second.step(theta, grads[i], RATES[i], SCALES[i])
    np.testing.assert_array_equal(theta, whole)
    assert saved["step"] == 3
    for key in RULES[name].slots:  # what was loaded was copied
        assert not np.shares_memory(second.state[key], saved[key])


def test_gradient_is_only_read_and_numpy_scalars_do_not_lift():
    theta, (grad, *_) = problem(40, "float32")
    kept = grad.copy()
    for name in RULES:
        plain, lifted = theta.copy(), theta.copy()
        make_optimizer(name, 40, "float32").step(plain, grad, 0.01, 0.3)
        settings = {key: np.float64(value) for key, value in RULES[name].settings.items()}
        optimizer = make_optimizer(name, 40, "float32", **settings)
        optimizer.step(lifted, grad, np.float64(0.01), np.float64(0.3))
        np.testing.assert_array_equal(plain, lifted)
    np.testing.assert_array_equal(grad, kept)


def test_a_gradient_of_zero_moves_nothing_and_gives_no_nan():
    for name in ("adam", "adamax", "rmsprop", "sgd"):
        theta = np.ones(5, np.float32)
        make_optimizer(name, 5, "float32").step(theta, np.zeros(5, np.float32), 0.1)
        assert (theta == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": np.zeros(4)}, r"must hold m, step, v; got extra, m, step, v"),
        ({"v": None}, r"must hold m, step, v; got m, step"),
        ({"v": np.zeros(5)}, r"'v' must be float64 of shape \(4,\), got float64 of shape \(5,\)"),
        ({"m": np.zeros(4, np.float32)}, r"'m' must be float64 of shape \(4,\), got float32"),
        ({"step": np.array(-1)}, r"'step' must be one integer >= 0"),
        ({"step": np.array(1.0)}, r"'step' must be one integer >= 0"),
        ({"step": np.array([1])}, r"'step' must be one integer >= 0"),
    ],
)
def test_refuses_a_state_that_does_not_fit_and_keeps_its_own(change, message):
    optimizer = make_optimizer("adam", 4, "float64")
    optimizer.step(np.ones(4), np.ones(4), 0.1)
    kept = {key: value.copy() for key, value in optimizer.state.items()}
    state = {"m": np.full(4, 9.0), "v": np.full(4, 9.0), "step": np.array(9)} | change
    with pytest.raises(ValueError, match=message):
        optimizer.load_state({key: value for key, value in state.items() if value is not None})
    for key, value in optimizer.state.items():
        np.testing.assert_array_equal(value, kept[key])


def test_refuses_wrong_names_and_values():
    with pytest.raises(ValueError, match="unknown optimizer 'adma'; there are adam, adamw"):
        make_optimizer("adma", 3, "float32")
    with pytest.raises(TypeError, match="sgd has no setting 'beta1'; it has momentum"):
        make_optimizer("sgd", 3, "float32", beta1=0.9)
    with pytest.raises(ValueError, match=r"adam: beta2 must be at least 0 and below 1.0, got 1"):
        make_optimizer("adam", 3, "float32", beta2=1.0)
    with pytest.raises(ValueError, match="adam: eps must be above 0"):
        make_optimizer("adam", 3, "float32", eps=0.0)
    with pytest.raises(ValueError, match="adamw: weight_decay must be at least 0"):
        make_optimizer("adamw", 3, "float32", weight_decay=float("nan"))
    with pytest.raises(TypeError, match="parameters must be float32 or float64, got complex128"):
        make_optimizer("adam", 3, "complex128")


@pytest.mark.parametrize("name", RULES)
def test_step_refuses_what_does_not_fit_and_does_not_count_it(name):
    optimizer = make_optimizer(name, 3, "float32")
    x = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=rf"{name}: grad must have shape \(3,\), got \(4,\)"):
        optimizer.step(x, np.zeros(4, np.float32), 0.1)
    with pytest.raises(TypeError, match="grad is float64, the optimiser was made for float32"):
        optimizer.step(x, np.zeros(3), 0.1)
    for lr, scale in ((float("nan"), 1.0), (-1.0, 1.0), (0.1, float("inf"))):
        with pytest.raises(ValueError, match="must be finite and >= 0"):
            optimizer.step(x, x, lr, scale)
    assert optimizer.state["step"] == 0


@pytest.mark.parametrize("n", [0, 1, 8191, 8192, 8193, 100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_global_norm(n, dtype):
    grad = np.random.default_rng(n).standard_normal(n).astype(dtype)
    expected = float(np.sqrt(np.sum(grad.astype(np.longdouble) ** 2)))
    got = global_norm(grad)
    assert type(got) is float
    # A block's dot product in BLAS: at least 8 chains, so at most 1024 roundings in a row.
    assert abs(got - expected) <= 0.05 * 1024 * np.finfo(dtype).eps * expected


def test_global_norm_of_many_equal_terms_is_exact_where_a_naive_sum_stalls():
    grad = np.ones(20_000_001, np.float32)  # a float32 sum stops at 2**24
    assert global_norm(grad) == 20_000_001**0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 9_000, 19_999])
def test_a_gradient_that_is_not_finite_raises_and_names_the_parameter(bad, at):
    grad = np.ones(20_000, np.float32)
    grad[at] = bad
    table = [Entry("a", (100,), 0, 100), Entry("b.W", (100, 199), 100, 19_900)]
    with pytest.raises(TrainingDiverged, match="gradient is not finite; try a lower learning rate"):
        global_norm(grad)
    name = r"a \(1 of 100\)" if at == 0 else r"b\.W \(1 of 19900\)"
    with pytest.raises(TrainingDiverged, match=f"not finite in {name};"):
        global_norm(grad, table)


def test_a_norm_whose_square_overflows_is_refused_as_adam_would_freeze():
    with pytest.raises(TrainingDiverged):
        global_norm(np.full(3, 1e20, np.float32))
    assert global_norm(np.full(4, 1e20)) == 2e20


def test_clip_scale():
    assert clip_scale(5.0, 10.0) == 1.0
    assert clip_scale(10.0, 10.0) == 1.0
    assert clip_scale(40.0, 10.0) == 0.25
    assert clip_scale(40.0, 0.0) == 1.0
    assert clip_scale(0.0, 10.0) == 1.0
    for norm in (float("nan"), float("inf")):
        for limit in (0.0, 10.0):
            with pytest.raises(TrainingDiverged, match=f"norm of the gradient is {norm}"):
                clip_scale(norm, limit)
    for limit in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="clip must be finite and not negative"):
            clip_scale(1.0, limit)
