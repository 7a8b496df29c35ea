"""Philox 4x32-10: known answers, what a draw depends on, distributions, backends, errors."""

import itertools

import numpy as np
import pytest
from scipy import stats

import backhand as bh
from backhand.kernels import philox
from backhand.kernels.philox import reference
from backhand.noise import PURPOSES, Noise, order, purpose_key
from backhand.threads import thread_counts
from tests.kernels import harness

BACKENDS = harness.on_host(philox.OP)
FAST = [name for name in BACKENDS if name != "numpy"]
KINDS = ["integers", "uniform", "normal"]

# Random123, tests/kat_vectors, philox4x32 10: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _available(request):
    spec = getattr(request.node, "callspec", None)
    if spec and "backend" in spec.params:
        harness.needs(spec.params["backend"])


def words(text):
    return [int(word, 16) for word in text.split()]


def draw(kind, *args, **kwargs):
    return getattr(philox, kind)(*args, **kwargs)


@pytest.mark.equation("philox.1")
@pytest.mark.equation("philox.2")
@pytest.mark.equation("philox.3")
@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers_of_the_bijection(counter, key, result):
    arrays = tuple(np.full((1, 1), c, np.uint64) for c in words(counter))
    out = reference.philox(arrays, tuple(words(key)))
    assert [int(x[0, 0]) for x in out] == words(result)


@pytest.mark.equation("philox.2")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("known", [KNOWN[0], KNOWN[2]])
def test_known_answers_through_the_front_door(known, backend):
    # The block is element // 4, so block 0x243f6a88 is out of reach of a small array;
    # the known answers with a small block go in whole, the other through a plain round loop.
    (block, sample, datum, step), key, result = words(known[0]), words(known[1]), words(known[2])
    if block:
        result = plain_philox((0, sample, datum, step), key)
    out = philox.integers(key, np.array([datum]), step, 4, first=sample, backend=backend)
    assert out.ravel().tolist() == result


def plain_philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 % 2**32, p0 >> 32 ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


@pytest.mark.equation("philox.3")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 1023, 1024, 1025, 4 * reference.CHUNK + 3])
def test_every_word_is_the_one_of_its_counter(n, backend):
    key, step, index = (2**32 - 1, 77), 2**32 - 1, np.array([3, 2**32 - 1])
    out = philox.integers(key, index, step, n, count=2, first=2**32 - 2, backend=backend)
    assert out.shape == (2, 2, n)
    for k, b in itertools.product(range(2), range(2)):
        for e in {0, n // 2, n - 1}:
            counter = (e // 4, 2**32 - 2 + k, int(index[b]), step)
            assert out[k, b, e] == plain_philox(counter, key)[e % 4]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_samples_and_order_of_data_do_not_matter(kind, backend):
    index = np.array([5, 0, 9, 9, 2])
    whole = draw(kind, (1, 2), index, 3, 11, count=6, backend=backend)
    for first, count in ((0, 1), (1, 3), (4, 2), (5, 1)):
        part = draw(kind, (1, 2), index, 3, 11, count=count, first=first, backend=backend)
        np.testing.assert_array_equal(part, whole[first : first + count])
    for turn in ([4, 3, 2, 1, 0], [2, 0, 1, 4, 3], [1]):
        part = draw(kind, (1, 2), index[turn], 3, 11, count=6, backend=backend)
        np.testing.assert_array_equal(part, whole[:, turn])
    np.testing.assert_array_equal(whole[:, 2], whole[:, 3])
    # A row is also independent of its length, up to the pair that a normal shares.
    part = draw(kind, (1, 2), index, 3, 8, count=6, backend=backend)
    np.testing.assert_array_equal(part, whole[:, :, :8])


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_the_reference_fit_together(kind, monkeypatch):
    index = np.arange(7)
    whole = draw(kind, (1, 2), index, 3, 21, count=3, backend="numpy")
    for chunk in (1, 2, 5, 6, 13):
        monkeypatch.setattr(reference, "CHUNK", chunk)
        np.testing.assert_array_equal(
            draw(kind, (1, 2), index, 3, 21, count=3, backend="numpy"), whole
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_empty(kind, backend):
    none = np.array([], np.int64)
    assert draw(kind, (1, 2), none, 3, 5, count=2, backend=backend).shape == (2, 0, 5)
    assert draw(kind, (1, 2), np.arange(4), 3, 0, backend=backend).shape == (1, 4, 0)
    assert draw(kind, (1, 2), np.arange(4), 3, 5, count=0, backend=backend).shape == (0, 4, 5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_index_types_and_strides(dtype, backend):
    index = np.array([1, 9, 200, 9, 33], dtype)[::2]
    expected = philox.integers((1, 2), np.array([1, 200, 33]), 3, 6, backend="numpy")
    np.testing.assert_array_equal(philox.integers((1, 2), index, 3, 6, backend=backend), expected)


def test_streams_differ_between_seeds_purposes_steps_samples_and_data():
    seen = {}
    for seed, purpose, step, sample, datum in itertools.product(*[(0, 1, 2)] * 5):
        x = philox.integers((seed, purpose), np.array([datum]), step, 8, first=sample)
        seen.setdefault(x.tobytes(), (seed, purpose, step, sample, datum))
    assert len(seen) == 3**5
    noise, index = Noise(7, step=3), np.arange(50)
    draws = [noise.uniform(p, index, (20,), layer=t) for p in PURPOSES for t in (0, 1)]
    flat = np.array([d.ravel() for d in draws], float)
    corr = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(corr).max() < 5 / np.sqrt(flat.shape[1])


@pytest.mark.equation("philox.4")
@pytest.mark.parametrize("backend", BACKENDS)
def test_uniforms_are_exact_odd_multiples(backend):
    index = np.arange(40)
    x = philox.integers((3, 4), index, 5, 999, backend="numpy")
    exact = (2 * (x >> 9).astype(np.int64) + 1) / 2.0**24
    for dtype in (np.float32, np.float64):
        u = philox.uniform((3, 4), index, 5, 999, dtype=dtype, backend=backend)
        assert u.dtype == dtype
        np.testing.assert_array_equal(u.astype(np.float64), exact)


@pytest.mark.equation("philox.4")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniforms_never_reach_zero_or_one(dtype):
    ends = np.array([0, 511, 2**32 - 512, 2**32 - 1], np.uint32)
    u = reference._uniform(ends, np.dtype(dtype))
    assert u.tolist() == [2.0**-24, 2.0**-24, 1 - 2.0**-24, 1 - 2.0**-24]


@pytest.mark.equation("philox.5")
@pytest.mark.equation("philox.6")
@pytest.mark.equation("philox.7")
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_normals_are_box_and_muller_on_pairs(n):
    u = philox.uniform((3, 4), np.arange(3), 5, n + n % 2, dtype=np.float64)
    radius = np.sqrt(-2 * np.log(u[..., ::2]))
    z = radius * np.exp(2j * np.pi * u[..., 1::2])
    pairs = np.stack([z.real, z.imag], axis=-1).reshape(*u.shape)[..., :n]
    out = philox.normal((3, 4), np.arange(3), 5, n, dtype=np.float64)
    np.testing.assert_allclose(out, pairs, rtol=1e-14, atol=1e-15)
    single = philox.normal((3, 4), np.arange(3), 5, n, dtype=np.float32, backend="numpy")
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, out.astype(np.float32))


@pytest.mark.equation("philox.4")
def test_distribution_of_uniforms():
    u = philox.uniform((11, 0), np.arange(200), 1, 1000, dtype=np.float64).ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * u.size)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / u.size)


@pytest.mark.equation("philox.6")
@pytest.mark.equation("philox.7")
def test_distribution_of_normals():
    z = philox.normal((11, 0), np.arange(200), 1, 1000, dtype=np.float64)
    for part in (z[..., 0::2].ravel(), z[..., 1::2].ravel()):
        assert stats.kstest(part, "norm").pvalue > 1e-3
        assert abs(part.mean()) < 4 / np.sqrt(part.size)
        assert abs(part.var() - 1) < 4 * np.sqrt(2 / part.size)
        assert abs((part**3).mean()) < 4 * np.sqrt(15 / part.size)
        assert abs((part**4).mean() - 3) < 4 * np.sqrt(96 / part.size)
    r = np.corrcoef(z[..., 0::2].ravel(), z[..., 1::2].ravel())[0, 1]
    assert abs(r) < 4 / np.sqrt(z.size / 2)


@pytest.mark.equation("philox.5")
@pytest.mark.equation("philox.6")
@pytest.mark.equation("philox.7")
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 6, 1022, 4099])
def test_normals_within_two_units(dtype, n, backend):
    index = np.array([0, 1, 2**32 - 1, *range(100, 160)])
    a = philox.normal((3, 4), index, 5, n, count=2, dtype=dtype, backend=backend)
    b = philox.normal((3, 4), index, 5, n, count=2, dtype=dtype, backend="numpy")
    assert a.dtype == b.dtype == dtype
    assert (np.abs(a - b) / np.spacing(np.abs(b))).max() <= 2


@pytest.mark.equation("philox.5")
@pytest.mark.parametrize("backend", FAST)
def test_normals_in_single_precision_are_nearly_all_rounded_correctly(backend):
    """17 of a million are not; without the last term of cos, the smallest, it would be 79."""
    index = np.arange(1000)
    a = philox.normal((3, 4), index, 5, 1000, dtype=np.float32, backend=backend)
    b = philox.normal((3, 4), index, 5, 1000, dtype=np.float32, backend="numpy")
    assert np.count_nonzero(a != b) < 40


@pytest.mark.equation("philox.8")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 5, 32, 1022, 1030])
def test_bernoulli_is_one_where_the_uniform_is_below_p(n, dtype, backend):
    rng, index = np.random.default_rng(0), np.array([0, 7, 2**32 - 1])
    u = philox.uniform((3, 4), index, 5, n, count=2, first=9, dtype=dtype, backend="numpy")
    for p in (rng.random((3, n)), rng.random((2, 3, n)), rng.random((2, n, 3)).swapaxes(1, 2)):
        p = p.astype(dtype)
        p[..., 0, : n // 2] = u[0, 0, : n // 2]  # equal is not below
        kept = p.copy()
        b = philox.bernoulli((3, 4), index, 5, p, count=2, first=9, backend=backend)
        assert b.dtype == dtype
        np.testing.assert_array_equal(b, u < p)
        np.testing.assert_array_equal(p, kept)


@pytest.mark.equation("philox.8")
@pytest.mark.parametrize("backend", BACKENDS)
def test_bernoulli_at_the_ends_and_of_nothing(backend):
    p = np.array([[-1, 0, 2.0**-24, 1 - 2.0**-25, 1, 2, np.inf, -np.inf, np.nan]])
    draws = philox.bernoulli((1, 2), np.array([3]), 4, p, count=500, backend=backend)
    assert draws.shape == (500, 1, 9)
    assert draws.min(axis=0).ravel().tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert draws.max(axis=0).ravel().tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    for count, rows, n in ((2, 0, 5), (1, 4, 0), (0, 4, 5), (0, 0, 0)):
        for shape in ((rows, n), (count, rows, n)):
            p = np.zeros(shape, np.float32)
            b = philox.bernoulli((1, 2), np.arange(rows), 3, p, count=count, backend=backend)
            assert b.shape == (count, rows, n)


@pytest.mark.equation("philox.8")
def test_bernoulli_comes_as_often_as_its_p():
    p = np.linspace(0, 1, 101)[None]
    draws = philox.bernoulli((5, 6), np.array([0]), 1, p, count=20_000)
    errors = (draws.mean(axis=0) - p) / np.sqrt(np.maximum(p * (1 - p), 1e-12) / 20_000)
    assert np.abs(errors).max() < 4.5
    assert philox.bernoulli((5, 6), np.array([0]), 1, p).shape == (1, 1, 101)


def test_wrong_arguments_of_bernoulli_are_named():
    index, p = np.arange(3), np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"p must have shape \(B, n\) with B = 3 \(from index\)"):
        philox.bernoulli((1, 2), index, 3, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"p must have shape \(B, n\), got \(4,\)"):
        philox.bernoulli((1, 2), index, 3, np.zeros(4))
    with pytest.raises(ValueError, match=r"count must be 2 \(from p\), got 3"):
        philox.bernoulli((1, 2), index, 3, np.zeros((2, 3, 4)), count=3)
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got complex128"):
        philox.bernoulli((1, 2), index, 3, p.astype(complex))
    with pytest.raises(TypeError, match="p must be float32 or float64, got int64"):
        philox.bernoulli((1, 2), index, 3, p.astype(np.int64))
    with pytest.raises(ValueError, match="philox: step must lie in"):
        philox.bernoulli((1, 2), index, -1, p)


@pytest.mark.parametrize("backend", [b for b in FAST if b != "emulated"])
def test_two_threads_draw_what_one_draws(backend):
    index, p = np.arange(100), np.random.default_rng(0).random((100, 784), np.float32)
    before = thread_counts()[backend]
    results = []
    try:
        for threads in (1, 2):
            bh.set_threads(**{backend: threads})
            drawn = [draw(kind, (1, 2), index, 3, 784, count=2, backend=backend) for kind in KINDS]
            results.append([*drawn, philox.bernoulli((1, 2), index, 3, p, backend=backend)])
    finally:
        bh.set_threads(**{backend: before})
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_arguments_are_named(kind):
    index = np.arange(3)
    limit = 2**32
    for bad in (-1, limit):
        for name, call in {
            "seed": lambda v: draw(kind, (v, 2), index, 3, 4),
            "purpose": lambda v: draw(kind, (1, v), index, 3, 4),
            "step": lambda v: draw(kind, (1, 2), index, v, 4),
            "first": lambda v: draw(kind, (1, 2), index, 3, 4, first=v),
            "index": lambda v: draw(kind, (1, 2), np.array([0, v]), 3, 4),
        }.items():
            with pytest.raises(ValueError, match=rf"philox: {name} must lie in .* got {bad}$"):
                call(bad)
    with pytest.raises(ValueError, match="last sample"):
        draw(kind, (1, 2), index, 3, 4, count=2, first=limit - 1)
    with pytest.raises(ValueError, match="n must lie"):
        draw(kind, (1, 2), index, 3, -1)
    with pytest.raises(ValueError, match="count must not be negative, got -2"):
        draw(kind, (1, 2), index, 3, 4, count=-2)
    with pytest.raises(ValueError, match=r"key must be \(seed, purpose\), got 3 values"):
        draw(kind, (1, 2, 3), index, 3, 4)
    with pytest.raises(TypeError, match=r"index must be an array of integers, got float64"):
        draw(kind, (1, 2), np.arange(3.0), 3, 4)
    with pytest.raises(TypeError, match="index must be an array, got list"):
        draw(kind, (1, 2), [1, 2], 3, 4)
    with pytest.raises(ValueError, match=r"index must have shape \(B\)"):
        draw(kind, (1, 2), index[None], 3, 4)
    with pytest.raises(TypeError, match="integer"):
        draw(kind, (1.5, 2), index, 3, 4)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.complex128])
def test_other_types_are_refused(kind, dtype):
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        draw(kind, (1, 2), np.arange(3), 3, 4, dtype=dtype)


def test_order_is_a_permutation_that_changes_with_epoch_and_seed():
    orders = [order(seed, epoch, 1000) for seed in (0, 1) for epoch in (1, 2)]
    for o in orders:
        np.testing.assert_array_equal(np.sort(o), np.arange(1000))
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).sum() < 20
    np.testing.assert_array_equal(order(0, 1, 1000), orders[0])


def test_noise_shapes_and_layers():
    noise, index = Noise(1, 2), np.arange(4)
    assert noise.normal("latent", index, (3, 5)).shape == (4, 3, 5)
    one = noise.normal("latent", index, (6,), k=3)
    assert one.shape == (3, 4, 6)
    later = noise._replace(first=2)
    np.testing.assert_array_equal(later.normal("latent", index, (6,), k=1), one[2:])
    assert not np.array_equal(noise.normal("latent", index, (6,), k=3, layer=1), one)
    assert noise.uniform("dropout", index, (2,), dtype=np.float64).dtype == np.float64
    p = np.random.default_rng(0).random((4, 3, 5))
    u = noise.uniform("user", index, (3, 5), layer=2)
    np.testing.assert_array_equal(noise.bernoulli("user", index, p, layer=2), u < p)
    with pytest.raises(ValueError, match="B = 4"):
        noise.bernoulli("user", index, p[:2])
    assert purpose_key("latent", 7) == (PURPOSES["latent"] << 16) + 7
    with pytest.raises(ValueError, match="below 65536, got 65536"):
        noise.normal("latent", index, (2,), layer=1 << 16)
