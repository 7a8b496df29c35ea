"""The double refuses what a GPU would refuse, or what would stop one in silence."""

import inspect
import os
from importlib import import_module, util
from types import SimpleNamespace

import numpy as np
import pytest

import backhand as bh
from backhand.models import vae
from tests.device import array, double, record

HOST = np.arange(6.0).reshape(2, 3)

# What is refused, with the error: (the double, an array of it).
REFUSED = {
    "np.asarray": (lambda cupy, x: np.asarray(x), TypeError, "use .get()"),
    "float": (lambda cupy, x: float(x.sum()), TypeError, "use .get()"),
    "int": (lambda cupy, x: int(x[0, 0]), TypeError, "use .get()"),
    "bool": (lambda cupy, x: 1 if x.sum() > 0 else 0, TypeError, "use .get()"),
    "item": (lambda cupy, x: x.sum().item(), TypeError, "use .get()"),
    "a list": (lambda cupy, x: x.tolist(), TypeError, "use .get()"),
    "an index of the host": (lambda cupy, x: HOST[x[0, 0].astype(int)], TypeError, ""),
    "host + device": (lambda cupy, x: HOST + x, TypeError, "an array of the host"),
    "device * host": (lambda cupy, x: x * HOST, TypeError, "an array of the host"),
    "device @ host": (lambda cupy, x: x @ HOST.T, TypeError, "an array of the host"),
    "host @ device": (lambda cupy, x: HOST.T @ x, TypeError, "an array of the host"),
    "device == host": (lambda cupy, x: x == HOST, TypeError, "an array of the host"),
    "device += host": (lambda cupy, x: x.__iadd__(HOST), TypeError, "an array of the host"),
    "host += device": (lambda cupy, x: HOST.copy().__iadd__(x), TypeError, ""),
    "device[...] = host": (lambda cupy, x: x.__setitem__(..., HOST), TypeError, "of the host"),
    "host[...] = device": (lambda cupy, x: HOST.copy().__setitem__(..., x), TypeError, "get()"),
    "device[host]": (lambda cupy, x: x[np.array([0, 1])], TypeError, "an array of the host"),
    "device[list]": (lambda cupy, x: x[:, [0, 1]], TypeError, "a list"),
    "np.exp": (lambda cupy, x: np.exp(x), TypeError, "does not support ufuncs"),
    "np.concatenate": (lambda cupy, x: np.concatenate([x, x]), TypeError, "use .get()"),
    "a function": (lambda cupy, x: cupy.maximum(x, HOST), TypeError, "an array of the host"),
    "in a list": (lambda cupy, x: cupy.concatenate([x, HOST]), TypeError, "an array of the host"),
    "contiguous": (lambda cupy, x: cupy.ascontiguousarray(HOST), TypeError, "of the host"),
    "no such name": (lambda cupy, x: cupy.isneginf(x), AttributeError, "isneginf"),
    "no such method": (lambda cupy, x: x.cumprod(), AttributeError, "cumprod"),
    "no such mark": (lambda cupy, x: x.flags.writeable, AttributeError, "writeable"),
    "no such argument": (lambda cupy, x: cupy.sum(x, where=x > 0), TypeError, "where"),
    "of a method": (lambda cupy, x: x.sum(initial=0.0), TypeError, "initial"),
    "of einsum": (lambda cupy, x: cupy.einsum("ab->a", x, casting="safe"), TypeError, "casting"),
    "of a ufunc": (lambda cupy, x: cupy.exp(x, where=x > 0), TypeError, "where"),
    "too many arguments": (lambda cupy, x: cupy.argsort(x, 0, None, None), TypeError, "argsort"),
    "another device": (lambda cupy, x: elsewhere(cupy, x) + x, ValueError, "current = 0"),
    "a capsule of the host": (lambda cupy, x: cupy.from_dlpack(HOST), TypeError, "CPU arrays"),
}  # fmt: skip


def elsewhere(cupy, x):
    with cupy.cuda.Device(1):
        return cupy.asarray(bh.to_host(x))


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what, cupy):
    call, error, words = REFUSED[what]
    with pytest.raises(error) as caught:
        call(cupy, cupy.asarray(HOST))
    assert words in str(caught.value)


def test_what_a_gpu_allows_is_computed_as_by_numpy(cupy):
    x = cupy.asarray(HOST)
    assert x.get() is not HOST
    for found, expected in [
        (np.float64(2) * x + 1, 2 * HOST + 1),
        (x[0, 1], HOST[0, 1]),
        (x.sum(axis=0, keepdims=True), HOST.sum(axis=0, keepdims=True)),
        (cupy.where(x > 2, x, 0.0), np.where(HOST > 2, HOST, 0)),
        (x.astype(np.float32).T, HOST.astype(np.float32).T),
        (x[x > 2], HOST[HOST > 2]),
        (x.argsort(kind="stable"), HOST.argsort(kind="stable")),
        (sum(x), sum(HOST)),
    ]:
        assert type(found) is cupy.ndarray
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.get(), expected)


def test_views_share_memory_and_copies_do_not(cupy):
    x = cupy.asarray(HOST)
    x[0, 0][...] = 7.0
    row = x.reshape(-1)
    row[1] = 8.0
    row += 1
    assert x.get()[0].tolist() == [8.0, 9.0, 3.0]
    assert cupy.asarray(x) is x or cupy.may_share_memory(cupy.asarray(x), x)
    assert not cupy.may_share_memory(x, x.copy())
    assert HOST[0, 0] == 0


def test_fresh_memory_is_poisoned(cupy):
    assert np.isnan(cupy.empty((2, 3), np.float32).get()).all()
    assert np.isnan(cupy.empty_like(cupy.asarray(HOST).T).get()).all()
    assert cupy.empty_like(cupy.asarray(HOST).T).flags.f_contiguous
    assert (cupy.empty(4, np.int32).get() == -1).all()
    assert cupy.empty(2, bool).get().all()


# -- the record ------------------------------------------------------------------------------


def test_the_record_is_of_the_cupy_that_is_installed():
    """Skipped without that CuPy; a failure where BACKHAND_REQUIRE names cupy."""
    end = (
        pytest.fail if "cupy" in os.environ.get("BACKHAND_REQUIRE", "").split(",") else pytest.skip
    )
    if util.find_spec("cupy") is None:
        end("cupy: not installed; pip install 'backhand[gates]'")
    installed, known = import_module("cupy"), record.recorded()
    if installed.__version__ != known["cupy"]:
        end(f"the record is of CuPy {known['cupy']}, installed is {installed.__version__}")
    assert record.describe(installed, double.names()) == known["names"]


def test_the_double_has_what_is_on_record_and_nothing_else(cupy):
    known = record.recorded()["names"]
    assert set(known) == set(double.names())
    assert "missing" not in known.values()
    assert "?" not in known.values()
    own = {"get", "item", "tolist", "tobytes"}  # these three refuse, under CuPy's names
    listed = {name.removeprefix("ndarray.") for name in known if name.startswith("ndarray.")} | own
    assert {name for name in vars(array.ndarray) if not name.startswith("_")} <= listed
    top = {name.partition(".")[0] for name in known} | {"RawModule", "cuda", "ndarray"}
    assert {name for name in vars(cupy) if not name.startswith("_")} <= top


def test_a_changed_cupy_is_noticed():
    def exp(x, /, out=None):
        """Documented."""

    changed = SimpleNamespace(exp=exp)
    assert record.describe(changed, ["exp", "log"]) == {"exp": "x, out=...", "log": "missing"}
    assert record.from_text("add(x1, Py_ssize_t n, /, out=None, \\*, dtype=None) -> x") == (
        "x1, n, /, out=..., *, dtype=..."
    )
    for text in record.recorded()["names"].values():
        assert isinstance(record.parse(text), inspect.Signature)


# -- planted in the library: the double must notice ---------------------------------------------


def step(model, cupy):
    batch = bh.Batch(cupy.zeros((3, 5), np.float32), cupy.arange(3))
    model.bound(batch, bh.Noise(0)).backward(None, bh.grads_like(model))


def test_what_slips_in_from_the_host_is_noticed(cupy, monkeypatch):
    made = bh.VAE.create(bh.VAEConfig(hidden=(4,), latent=2), bh.DataSpec((5,), "binary"))
    model = bh.to_device(made)
    step(model, cupy)
    normal = bh.Noise.normal
    with monkeypatch.context() as patch:
        patch.setattr(bh.Noise, "normal", lambda *a, **k: bh.to_host(normal(*a, **k)))
        with pytest.raises(TypeError, match="an array of the host"):
            step(model, cupy)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "xp_of", lambda x: np)
        with pytest.raises(TypeError, match="an array of the host"):
            step(model, cupy)
    model.encoder.head.linear.b = made.encoder.head.linear.b
    with pytest.raises(TypeError, match="an array of the host"):
        step(model, cupy)
