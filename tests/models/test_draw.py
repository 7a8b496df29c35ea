"""DRAW: its gradient, its equations written again, its geometry, and the rest of the interface."""

import tracemalloc
import types
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest

import backhand as bh
from backhand import grads
from backhand.kernels import filterbank
from backhand.model import UNWEIGHTED, Batch, DataSpec, Weights
from backhand.models.draw import DRAW, DRAWConfig
from backhand.noise import Noise
from tests.kernels.harness import needs

B = 5
ATTENTIVE = DRAWConfig(glimpses=3, read=3, write=2, hidden=4, latent=2)
REAL = replace(ATTENTIVE, output="gaussian", std=0.7)
CONFIGS = {  # options, shape of a picture
    "attention": (ATTENTIVE, (5, 4)),
    "none": (replace(ATTENTIVE, read=0, write=0), (3, 3)),
    "read alone": (replace(ATTENTIVE, write=0), (4, 5)),
    "write alone": (replace(ATTENTIVE, read=0), (4, 5)),
    "one glimpse": (replace(ATTENTIVE, glimpses=1, hidden=3), (4, 5)),
    "colour": (replace(ATTENTIVE, log_scale_bound=1.0), (4, 3, 3)),
    "colour, none": (replace(ATTENTIVE, read=0, write=0), (2, 3, 2)),
    "gaussian": (REAL, (4, 4)),
    "gaussian, fixed": (replace(REAL, variance="fixed", write=0), (4, 3)),
    "recomputed": (replace(ATTENTIVE, recompute=2), (4, 5)),
}
WEIGHTED = Weights(likelihood=1.3, kl=0.4, free_bits=0.02)


def make(config=ATTENTIVE, shape=(7, 5), dtype="float64", spread=0.3, n=B):
    """A model away from its initial values, and a batch."""
    rng = np.random.default_rng(0)
    real = config.output == "gaussian"
    x = rng.normal(2, 3, (n, *shape)) if real else (rng.random((n, *shape)) < 0.4).astype(float)
    spec = DataSpec(shape, "real" if real else "binary")
    model = DRAW.create(config, spec, x, seed=1, dtype=dtype)
    vector = model.params.vector
    vector += (spread * rng.standard_normal(vector.size)).astype(dtype)
    return model, Batch(x.astype(dtype), np.arange(n))


def gradient(model, batch, cotangent=None, weights=UNWEIGHTED, k=1, defer=False):
    g = bh.grads_like(model, defer=defer)
    model.bound(batch, Noise(1, 2), k, weights).backward(cotangent, g)
    g.flush()
    return g.vector.copy()


def complex_step(f, model):
    """The derivative of f (real numbers) by each parameter."""
    columns = []
    for i in range(model.params.vector.size):
        vector = model.params.vector.astype(complex)
        vector[i] += 1e-30j
        columns.append(f(model.over(vector)).imag / 1e-30)
    return np.array(columns)


# -- the gradient --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "k", "weights"),
    [("attention", 1, UNWEIGHTED), ("none", 1, UNWEIGHTED), *((n, 2, WEIGHTED) for n in CONFIGS)],
)
def test_gradient_of_every_parameter_by_complex_step(name, k, weights):
    model, batch = make(*CONFIGS[name])
    cotangent = np.random.default_rng(3).standard_normal(B)
    numeric = complex_step(
        lambda moved: cotangent @ moved.bound(batch, Noise(1, 2), k, weights).objective, model
    )
    found = gradient(model, batch, cotangent, weights, k)
    for entry in model.params.table:
        at = slice(entry.offset, entry.offset + entry.size)
        scale = np.abs(numeric[at]).max()
        assert scale > 1e-6, entry.name
        assert np.abs(found[at] - numeric[at]).max() <= 1e-11 * scale, entry.name


def test_every_start_and_every_number_of_both_windows_has_a_gradient():
    model, batch = make()
    g = bh.grads_like(model)
    model.bound(batch, Noise(0)).backward(None, g)
    g.flush()
    for start in ("c", "encoder", "decoder"):
        assert (np.abs(g.params[f"start.{start}"]) > 1e-7).all(), start
    for part in ("read", "write"):
        assert (np.abs(g.params[f"{part}.window.linear.b"]) > 1e-5).all(), part


def test_clipped_scales_have_no_gradient_and_the_centres_still_have():
    model, batch = make()
    for part in (model.read, model.write):
        part.window.linear.b[...] = [12.0, 0.1, 30.0, 0.2, -12.0]
    g = bh.grads_like(model)
    bound = model.bound(batch, Noise(0))
    bound.backward(None, g)
    g.flush()
    assert np.isfinite(bound.value).all()
    for part in ("read", "write"):
        found = g.params[f"{part}.window.linear.b"] != 0
        assert not found[[2, 4]].any()
        assert found[[0, 1, 3]].all()


def test_deferred_products_give_the_same_gradient():
    model, batch = make()
    now, later = gradient(model, batch), gradient(model, batch, defer=True)
    np.testing.assert_allclose(later, now, rtol=0, atol=1e-14 * np.abs(now).max())


@pytest.mark.parametrize("recompute", [1, 2, 3])
def test_what_is_computed_again_is_the_same_to_the_bit(recompute):
    model, batch = make()
    again = DRAW(**{f.name: getattr(model, f.name) for f in fields(DRAW)})
    again.config = replace(model.config, recompute=recompute)
    assert gradient(again, batch, k=2).tobytes() == gradient(model, batch, k=2).tobytes()


@pytest.mark.parametrize("recompute", [0, 2])
def test_a_second_backward_needs_keep(recompute):
    model, batch = make(replace(ATTENTIVE, recompute=recompute))
    bound, found = model.bound(batch, Noise(0)), []
    for keep in (True, True, False):
        g = bh.grads_like(model)
        bound.backward(None, g, keep=keep)
        g.flush()
        found.append(g.vector.tobytes())
    assert len(set(found)) == 1
    with pytest.raises(RuntimeError, match="draw: backward was called before"):
        bound.backward(None)


@pytest.mark.parametrize("backend", ["numpy", "numba", "native", "emulated"])
@pytest.mark.parametrize("name", ["attention", "none", "colour", "gaussian"])
def test_backends_agree_on_bound_and_gradient(name, backend):
    needs(backend)
    model, batch = make(*CONFIGS[name])
    with bh.use_backend("numpy"):
        value, expected = model.bound(batch, Noise(1, 2), 2).value, gradient(model, batch, k=2)
    with bh.use_backend(backend):
        got, found = model.bound(batch, Noise(1, 2), 2).value, gradient(model, batch, k=2)
    np.testing.assert_allclose(got, value, rtol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# -- the equations, written again ----------------------------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def filters(head, N, A, B):
    """F_X (N, A), F_Y (N, B) and gamma of one datum as the paper has them: counted from 1.

    A columns, B rows; with the constant 1e-8 that keeps 0/0 away.
    """
    gx, gy, log_s2, log_d, log_gamma = head
    g_X, g_Y = (A + 1) / 2 * (gx + 1), (B + 1) / 2 * (gy + 1)
    delta = (max(A, B) - 1) / (N - 1) * np.exp(log_d)
    found = []
    for g, size in ((g_X, A), (g_Y, B)):
        F = np.empty((N, size))
        for i in range(1, N + 1):
            mu = g + (i - N / 2 - 0.5) * delta
            for a in range(1, size + 1):
                F[i - 1, a - 1] = np.exp(-((a - mu) ** 2) / (2 * np.exp(log_s2)))
        found.append(F / (F.sum(axis=1, keepdims=True) + 1e-8))
    return *found, np.exp(log_gamma)


def lstm(cell, x, h, c):
    i, f, g, o = np.split(x @ cell.Wx + h @ cell.Wh + cell.b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def one_datum(model, x, eps):
    """log p(x | c_T), KL of each step and log p(z) - log q(z) of one grey picture (B, A)."""
    rows, columns = x.shape
    c = model.start.c.reshape(x.shape)
    he, hd = model.start.encoder, model.start.decoder
    ce, cd = np.zeros_like(he), np.zeros_like(hd)
    kl, ratio = [], 0.0
    for e in eps:
        error = x - sigmoid(c)
        window = model.read.window.linear
        F_X, F_Y, gamma = filters(hd @ window.W + window.b, model.config.read, columns, rows)
        r = np.concatenate([gamma * (F_Y @ image @ F_X.T).ravel() for image in (x, error)])
        he, ce = lstm(model.encoder, np.concatenate([r, hd]), he, ce)
        mean, log_std = np.split(he @ model.posterior.linear.W + model.posterior.linear.b, 2)
        z = mean + np.exp(log_std) * e
        kl.append(0.5 * (mean**2 + np.exp(2 * log_std) - 2 * log_std - 1).sum())
        ratio += (-0.5 * z**2 + 0.5 * e**2 + log_std).sum()
        hd, cd = lstm(model.decoder, z, hd, cd)
        window, stroke = model.write.window.linear, model.write.stroke
        F_X, F_Y, gamma = filters(hd @ window.W + window.b, model.config.write, columns, rows)
        N = model.config.write
        c = c + F_Y.T @ (hd @ stroke.W + stroke.b).reshape(N, N) @ F_X / gamma
    p = sigmoid(c)
    return (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(), kl, ratio


def test_bound_terms_and_weights_are_those_of_the_paper():
    """Against the equations, datum by datum, pixel by pixel."""
    model, batch = make(spread=0.15)
    noise, T = Noise(1, 2), model.config.glimpses
    bound = model.bound(batch, noise)
    log_w = model.log_weights(batch, noise, 1)
    assert list(bound.terms) == ["likelihood", "kl", "kl 1", "kl 2", "kl 3"]
    for n in range(B):
        index = batch.index[n : n + 1]
        eps = [
            noise.normal("latent", index, (2,), k=1, layer=t, dtype=np.float64)[0, 0]
            for t in range(T)
        ]
        logp, kl, ratio = one_datum(model, batch.x[n], eps)
        near = {"rel": 1e-11}
        assert bound.terms["likelihood"][n] == pytest.approx(logp, **near)
        assert bound.terms["kl"][n] == pytest.approx(sum(kl), **near)
        assert [bound.terms[f"kl {t + 1}"][n] for t in range(T)] == pytest.approx(kl, **near)
        assert bound.value[n] == pytest.approx(logp - sum(kl), **near)
        assert log_w[0, n] == pytest.approx(logp + ratio, **near)


def test_the_noise_of_steps_samples_and_data_is_all_different():
    model, batch = make()
    eps = model.noise_of(batch.index, Noise(0), 3)
    drawn = np.stack([eps(t) for t in range(3)])
    assert len(np.unique(drawn)) == drawn.size


def test_log_weights_average_to_the_bound_whatever_the_chunks(monkeypatch):
    model, batch = make()
    whole = model.log_weights(batch, Noise(3), 7)
    monkeypatch.setattr("backhand.models.vectors.CHUNK", 3 * B * 35)
    np.testing.assert_allclose(model.log_weights(batch, Noise(3), 7), whole, rtol=1e-12)
    many = model.log_weights(batch, Noise(5), 4000)
    bound = model.bound(batch, Noise(6), 4000).value
    error = many.std(axis=0) / np.sqrt(2000)
    assert (np.abs(many.mean(axis=0) - bound) < 5 * error).all()


# -- geometry ------------------------------------------------------------------------------


def same(a):
    return a


def transpose(a):
    return a.swapaxes(-1, -2)


def half_turn(a):
    return a[..., ::-1, ::-1]


def quarter_turn(a):
    """Rows become columns: what was at (row, column) is at (column, last - row)."""
    return a.swapaxes(-1, -2)[..., ::-1]


# (gx, gy) of the moved picture from those of the picture: (which, sign) for each.
MOVES = {
    "transpose": (transpose, ((1, 1), (0, 1))),
    "half turn": (half_turn, ((0, -1), (1, -1))),
    "quarter turn": (quarter_turn, ((1, -1), (0, 1))),
}


def moved(model, move, centres):
    """The model that sees moved pictures as ``model`` sees the pictures themselves."""
    new = model.over(model.params.vector.copy())
    config, H = model.config, model.config.hidden
    height, width = model.spec.shape
    for part, old in ((new.read, model.read), (new.write, model.write)):
        for to, (column, sign) in enumerate(centres):
            part.window.linear.W[:, to] = sign * old.window.linear.W[:, column]
            part.window.linear.b[to] = sign * old.window.linear.b[column]
    new.start.c[...] = move(model.start.c.reshape(height, width)).ravel()
    N = config.read
    patches = np.arange(2 * N * N).reshape(2, N, N)
    rows = np.concatenate([move(patches).ravel(), np.arange(2 * N * N, 2 * N * N + H)])
    new.encoder.Wx[...] = model.encoder.Wx[rows]
    N = config.write
    columns = move(np.arange(N * N).reshape(N, N)).ravel()
    new.write.stroke.W[...] = model.write.stroke.W[:, columns]
    new.write.stroke.b[...] = model.write.stroke.b[columns]
    new.spec = DataSpec(move(np.empty(model.spec.shape)).shape, model.spec.kind)
    new.read.shape = new.write.shape = (1, *new.spec.shape)
    return new


@pytest.mark.parametrize("shape", [(6, 6), (7, 4)])
@pytest.mark.parametrize("name", MOVES)
def test_a_moved_picture_is_drawn_alike_by_a_model_that_is_moved(name, shape):
    move, centres = MOVES[name]
    model, batch = make(ATTENTIVE, shape)
    other = moved(model, move, centres)
    turned = batch._replace(x=np.ascontiguousarray(move(batch.x)))
    before, after = model.bound(batch, Noise(0)), other.bound(turned, Noise(0))
    np.testing.assert_allclose(after.value, before.value, rtol=1e-11)
    np.testing.assert_allclose(
        other.sample(3, Noise(0)).mean, move(model.sample(3, Noise(0)).mean), rtol=1e-11
    )
    still = moved(model, same, ((0, 1), (1, 1)))
    still.read.shape = still.write.shape = other.read.shape
    still.spec = other.spec
    assert not np.allclose(still.bound(turned, Noise(0)).value, before.value, rtol=1e-3)


@pytest.mark.parametrize("N", [2, 5, 12])
def test_windows_of_zeros_cover_a_square_picture_exactly(N):
    """From the first pixel to the last: a narrow window reads the corners, and writes them."""
    model, _ = make(replace(ATTENTIVE, read=N, write=N), (28, 28))
    for part in (model.read, model.write):
        part.window.linear.W[...] = 0
        part.window.linear.b[...] = [0, 0, -8, 0, 0]
    model.write.stroke.W[...] = 0
    model.write.stroke.b[...] = np.arange(1, N * N + 1)
    x = np.random.default_rng(0).random((1, 28 * 28))
    h = np.zeros((1, model.config.hidden))
    r = model.read(x, x, h)[0].reshape(2, N, N)
    c = model.write(h)[0].reshape(28, 28)
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(r[0][corners], x.reshape(28, 28)[corners], rtol=1e-6)
    np.testing.assert_allclose(
        c[corners], np.arange(1, N * N + 1).reshape(N, N)[corners], rtol=1e-6
    )


@pytest.mark.parametrize(("N", "shape"), [(5, (28, 28)), (12, (20, 100)), (28, (28, 28))])
def test_at_the_start_no_pixel_lies_unseen_between_the_filters(N, shape):
    model = DRAW.create(replace(ATTENTIVE, read=N, write=N), DataSpec(shape, "binary"))
    for part in (model.read, model.write):
        head, _ = part.window(model.start(1)[0].decoder.h)
        for F in filterbank.forward(head, N, *shape)[:2]:
            inside = F[0].sum(axis=0) if F.shape[-1] == max(shape) else np.ones(1)
            assert inside.min() > 0.5 * inside.mean()


def test_windows_far_outside_do_no_harm():
    model, batch = make()
    for part in (model.read, model.write):
        part.window.linear.W[...] = 0
        part.window.linear.b[...] = [50, -70, -3, 1, 0]
    first, _ = model.start(B)
    x = batch.x.reshape(B, -1)
    r, back = model.read(x, x, first.decoder.h)
    assert not r.any()
    assert np.isfinite(back(np.ones_like(r), bh.NO_GRAD)[1]).all()
    bound = model.bound(batch, Noise(0))
    assert np.isfinite(bound.value).all()
    assert np.isfinite(gradient(model, batch)).all()
    canvas = 1 / (1 + np.exp(-model.start.c.reshape(7, 5)))
    np.testing.assert_allclose(model.reconstruct(batch, Noise(0))[0], canvas, rtol=1e-12)


# -- the interface -------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_of_all_that_is_made(name):
    config, shape = CONFIGS[name]
    model, batch = make(config, shape)
    T, Z = config.glimpses, config.latent
    draw = model.sample(3, Noise(0))
    assert draw.x.shape == draw.mean.shape == (3, *shape)
    assert draw.noise.shape == (3, T * Z) == (3, model.noise_size)
    q = model.encode(batch)
    assert q.mean.shape == q.logvar.shape == (B, T, Z)
    assert model.decode(q.mean).shape == model.reconstruct(batch, Noise(0)).shape == (B, *shape)
    assert model.interpolate(batch, batch, 4).shape == (4, B, *shape)
    assert model.bound(batch, Noise(0), 2).kl_units.shape == (B, T * Z)
    film = model.film(B, Noise(0), batch)
    assert film.canvas.shape == (T + 1, B, *shape)
    assert film.kl.shape == (T, B)
    for heads, N in ((film.read, config.read), (film.write, config.write)):
        assert (heads is None) == (N == 0)
        assert heads is None or heads.shape == (T, B, 5)
    assert model.film(2, Noise(0)).canvas.shape == (T + 1, 2, *shape)


def test_films_end_with_what_is_sampled_and_reconstructed():
    model, batch = make()
    film = model.film(B, Noise(4), batch)
    assert np.array_equal(film.canvas[-1], model.reconstruct(batch, Noise(4)))
    terms = model.bound(batch, Noise(4)).terms
    np.testing.assert_allclose(film.kl, [terms[f"kl {t}"] for t in (1, 2, 3)], rtol=1e-13)
    sampled = model.film(3, Noise(4))
    assert np.array_equal(sampled.canvas[-1], model.sample(3, Noise(4)).mean)
    assert sampled.read is None
    assert sampled.kl is None
    still = sampled.canvas[0]
    assert np.array_equal(still[0], still[1])
    h = model.start(1)[0].decoder.h
    np.testing.assert_allclose(film.read[0, 0], model.read.window(h)[0][0], rtol=1e-13)
    assert not np.allclose(film.write[0, 0], model.write.window(h)[0][0])  # after the step


def test_colours_come_back_where_they_were():
    """The first canvas is the data's mean, pixel by pixel and channel by channel."""
    model, batch = make(CONFIGS["colour"][0], (5, 4, 3), spread=0.0)
    first = model.film(1, Noise(0)).canvas[0, 0]
    np.testing.assert_allclose(first, batch.x.mean(axis=0).clip(0.001, 0.999), rtol=1e-12)
    model, batch = make(replace(REAL, read=0), (5, 4, 3), spread=0.0)
    first = model.film(1, Noise(0)).canvas[0, 0]
    np.testing.assert_allclose(first, batch.x.mean(axis=0), rtol=1e-12)


def test_the_read_window_sees_a_colour_picture_channel_by_channel():
    model, batch = make(CONFIGS["colour"][0], (5, 4, 3))
    rows = model._rows(batch.x)
    assert np.array_equal(rows.reshape(B, 3, 5, 4), np.moveaxis(batch.x, 3, 1))
    assert np.array_equal(model._shaped(rows), batch.x)


def test_log_likelihood_of_noise_and_its_gradient():
    model, batch = make()
    draw = model.sample(B, Noise(2))
    logp, _ = model.log_likelihood(draw.noise[None], batch)
    p = draw.mean.reshape(B, -1)
    x = batch.x.reshape(B, -1)
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(logp[0], expected, rtol=1e-12)
    u = np.random.default_rng(0).standard_normal((2, B, model.noise_size))
    cotangent = np.random.default_rng(1).standard_normal((2, B))
    du = model.log_likelihood(u, batch)[1](cotangent)
    for at in np.ndindex(2, 1, model.noise_size):
        moved_u = u.astype(complex)
        moved_u[at] += 1e-30j
        numeric = (cotangent * model.log_likelihood(moved_u, batch)[0].imag).sum() / 1e-30
        assert du[at] == pytest.approx(numeric, rel=1e-9)


def test_real_data_have_bounds_in_their_own_units():
    """Data in other units: another bound by the logarithm of the scale, the same pictures."""
    config = replace(REAL, read=0, write=0)
    x = np.random.default_rng(0).normal(size=(8, 3, 4))
    bounds, pictures = [], []
    for scale in (1.0, 10.0):
        batch = Batch(scale * x, np.arange(8))
        model = DRAW.create(config, DataSpec((3, 4), "real"), batch.x, dtype="float64")
        bounds.append(model.bound(batch, Noise(0)).value)
        pictures.append(model.reconstruct(batch, Noise(0)))
    np.testing.assert_allclose(bounds[0] - bounds[1], 12 * np.log(10), rtol=1e-10)
    np.testing.assert_allclose(10 * pictures[0], pictures[1], rtol=1e-10)


# -- completion ----------------------------------------------------------------------------


def test_completion_keeps_what_is_known_and_never_sees_what_is_not():
    model, batch = make()
    mask = np.zeros(batch.x.shape, bool)
    mask[:, :, :2] = True
    done = model.sample(B, Noise(3), given=batch._replace(mask=mask))
    assert np.array_equal(done.x[mask], batch.x[mask])
    assert np.array_equal(done.mean[mask], batch.x[mask])
    assert set(np.unique(done.x)) <= {0.0, 1.0}
    hidden = np.where(mask, batch.x, 1 - batch.x)  # other pixels where they are not known
    again = model.sample(B, Noise(3), given=batch._replace(x=hidden, mask=mask))
    assert np.array_equal(again.x, done.x)
    other = np.where(mask, 1 - batch.x, batch.x)
    assert not np.allclose(
        model.sample(B, Noise(3), given=batch._replace(x=other, mask=mask)).mean[~mask],
        done.mean[~mask],
    )


def test_completion_in_colour_and_of_real_data():
    for name in ("colour", "gaussian"):
        model, batch = make(*CONFIGS[name])
        mask = np.random.default_rng(0).random(batch.x.shape) < 0.5
        done = model.sample(B, Noise(3), given=batch._replace(mask=mask))
        np.testing.assert_allclose(done.x[mask], batch.x[mask], rtol=1e-12)
        assert np.isfinite(done.x).all()


def test_wrong_completions_say_so():
    model, batch = make()
    words = "given must be a Batch whose mask, of the shape of x"
    for given in (batch, batch._replace(mask=np.ones(3, bool)), "left"):
        with pytest.raises(ValueError, match=words):
            model.sample(B, Noise(0), given=given)
    given = batch._replace(mask=np.ones(batch.x.shape, bool))
    with pytest.raises(ValueError, match="5 pictures are given, n is 3"):
        model.sample(3, Noise(0), given=given)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        model.complete(given, Noise(0), rounds=0)


# -- options -------------------------------------------------------------------------------

CHANGES = {
    "glimpses": 4, "read": 2, "write": 3, "hidden": 7, "latent": 3, "log_scale_bound": 0.5,
    "output": "gaussian", "variance": "fixed", "std": 0.5, "standardise": False,
}  # fmt: skip


def test_every_option_changes_the_outcome():
    """recompute changes the memory alone: below."""
    for field in fields(DRAWConfig):
        if field.name == "recompute":
            continue
        real = field.name in ("variance", "std", "standardise")
        before = replace(ATTENTIVE, output="gaussian") if real else ATTENTIVE
        after = replace(before, **{field.name: CHANGES[field.name]})
        results = []
        for config in (before, after):
            model, batch = make(config)
            results.append((model.bound(batch, Noise(0)).value, gradient(model, batch).tolist()))
        assert not np.array_equal(results[0][0], results[1][0]) or results[0][1] != results[1][1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"glimpses": 0}, "at least 1"),
        ({"hidden": 0}, "at least 1"),
        ({"latent": 0}, "at least 1"),
        ({"read": 1}, "2 or more, or 0 for no attention"),
        ({"write": -1}, "2 or more, or 0 for no attention"),
        ({"recompute": 11}, "recompute must be from 0 to glimpses"),
        ({"variance": "learned", "output": "gaussian"}, "a canvas holds means alone"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DRAWConfig(**options)


def test_data_that_are_no_pictures_are_refused():
    with pytest.raises(ValueError, match=r"draw takes pictures, \(height, width\)"):
        DRAW.create(ATTENTIVE, DataSpec((12,), "binary"))
    with pytest.raises(ValueError, match="not text"):
        DRAW.create(ATTENTIVE, DataSpec((12,), "text"))
    model, batch = make()
    with pytest.raises(ValueError, match=r"DRAW: data must have shape \(B, 7, 5\)"):
        model.bound(batch._replace(x=batch.x[:, :, :4]), Noise(0))


# -- training ------------------------------------------------------------------------------


def train(backend, steps=10, config=ATTENTIVE):
    x = (np.random.default_rng(0).random((30, 7, 5)) < 0.4).astype(np.float32)
    data = bh.data.load(x, valid=10)
    model = DRAW.create(config, data.spec, data.train.x)
    trace = []
    settings = bh.TrainConfig(steps=steps, batch=20, lr=0.01, backend=backend, clip=5.0)
    with bh.use_backend(backend):
        bh.fit(model, data, settings, report=lambda row: trace.append(model.params.vector.copy()))
    return np.array(trace)


@pytest.mark.parametrize("backend", ["numba", "native", "emulated"])
def test_a_float32_training_trace_is_that_of_the_reference(backend):
    needs(backend)
    expected, found = train("numpy"), train(backend)
    assert found.dtype == np.float32
    assert np.abs(expected[-1] - expected[0]).max() > 0.01
    assert np.abs(found - expected).max() < 2e-5


def test_training_forms_one_product_for_the_steps_of_each_weight(monkeypatch):
    lengths, product = [], grads.Accumulator._product

    def noted(leaf, x, dy):
        lengths.append(len(x))
        product(leaf, x, dy)

    monkeypatch.setattr(grads.Accumulator, "_product", noted)
    train("numpy", steps=1)
    assert set(lengths) == {20 * ATTENTIVE.glimpses}


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    x = (np.random.default_rng(0).random((30, 7, 5)) < 0.4).astype(np.float32)
    data = bh.data.load(x, valid=10)
    config = bh.TrainConfig(epochs=4, batch=8, lr=0.01, clip=5.0)
    whole = DRAW.create(ATTENTIVE, data.spec, data.train.x)
    bh.fit(whole, data, config, run=tmp_path / "whole")
    first = DRAW.create(ATTENTIVE, data.spec, data.train.x)
    bh.fit(first, data, replace(config, epochs=2), run=tmp_path / "parts")
    assert first.params.vector.tobytes() != whole.params.vector.tobytes()
    again = DRAW.create(ATTENTIVE, data.spec, seed=5)
    bh.fit(again, data, config, run=bh.Run.open(tmp_path / "parts"))
    assert again.params.vector.tobytes() == whole.params.vector.tobytes()
    rows = [bh.Run.open(tmp_path / name).metrics() for name in ("whole", "parts")]
    assert [row["train"] for row in rows[0]] == [row["train"] for row in rows[1]]
    assert {"kl 1", "kl 2", "kl 3"} <= rows[0][-1]["valid"].keys()
    read = bh.load(tmp_path / "parts")
    assert read.config == ATTENTIVE


# -- memory --------------------------------------------------------------------------------


def arrays_below(root):
    """Bytes of the distinct arrays that can be reached, by the identity of their memory."""
    found, seen, waiting = {}, set(), [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | types.ModuleType):
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            found[id(item)] = item.nbytes
        elif isinstance(item, types.FunctionType):
            for cell in item.__closure__ or ():
                with suppress(ValueError):  # a name that was never given a value
                    waiting.append(cell.cell_contents)
        elif isinstance(item, types.MethodType):
            waiting += [item.__self__, item.__func__]
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        else:
            waiting += getattr(item, "__dict__", {}).values()
    return found


def memory(config, dtype="float32", n=100, shape=(28, 28)):
    """(bytes kept at the end of the forward pass, peak of the whole step) of a training step."""
    rng = np.random.default_rng(0)
    batch = Batch((rng.random((n, *shape)) < 0.2).astype(dtype), np.arange(n))
    model = DRAW.create(config, DataSpec(shape, "binary"), batch.x, dtype=dtype)
    g = bh.grads_like(model, defer=True)
    few = batch._replace(x=batch.x[:1], index=batch.index[:1])
    model.bound(few, Noise(0)).backward(None, g)  # what is made once
    g.zero()
    tracemalloc.start()
    try:
        bound = model.bound(batch, Noise(0, 1))
        others = arrays_below([model, g, batch])
        kept = sum(size for at, size in arrays_below(bound).items() if at not in others)
        bound.backward(None, g)
        g.flush()
        return kept, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("windows", [{"read": 2, "write": 5}, {"read": 0, "write": 0}])
def test_a_step_of_training_needs_little_more_than_it_keeps(windows):
    kept, peak = memory(DRAWConfig(glimpses=64, latent=100, **windows))
    assert kept > 100e6
    assert peak <= 1.5 * kept
    assert peak <= 1.2 * kept  # arrays go as they are used


@pytest.mark.parametrize("recompute", [1, 4, 8])
def test_computing_again_saves_memory(recompute):
    config = DRAWConfig(glimpses=32, latent=10, hidden=128)
    kept, peak = memory(replace(config, recompute=recompute), n=50)
    kept_all, peak_all = memory(config, n=50)
    assert kept < 0.45 * kept_all
    assert peak < 0.6 * peak_all
