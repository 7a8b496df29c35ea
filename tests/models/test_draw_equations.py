"""DRAW: its equations written again, and its geometry."""

from dataclasses import replace

import numpy as np
import pytest

import backhand as bh
from backhand.kernels import filterbank
from backhand.model import DataSpec
from backhand.models.draw import DRAW
from backhand.noise import Noise
from tests.models.drawn import ATTENTIVE, B, filters, gradient, lstm, make, sigmoid

# -- the equations, written again ----------------------------------------------------------


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
