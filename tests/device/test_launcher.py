"""The launcher's calls to CuPy, checked by the double: types, places, streams, caches, exchange."""

import numpy as np
import pytest

import backhand as bh
from backhand.csrc import sources
from backhand.kernels import bias_activation, cuda_device, cuda_tools
from tests.device.engine import Log, Stream

OP, KERNEL = "bias_activation", "bias_activation_forward"
A = np.arange(12.0).reshape(3, 4)


def forward(cupy, dtype="float64"):
    y, _ = bias_activation.forward(cupy.asarray(A.astype(dtype)), None, "tanh")
    return y


def test_a_kernel_runs_where_its_arrays_are(cupy):
    y = forward(cupy)
    assert type(y) is cupy.ndarray
    np.testing.assert_allclose(y.get(), np.tanh(A), rtol=1e-14)
    assert [launch[:3] for launch in Log.launches] == [(KERNEL, "double", 0)]


def test_compiled_once_for_each_device_and_type(cupy):
    for _ in range(2):
        for device in (0, 1):
            with cupy.cuda.Device(device):
                for dtype in ("float32", "float64"):
                    forward(cupy, dtype)
    compiled = [(real, device) for kernels, real, device in Log.compiled if KERNEL in kernels]
    assert sorted(compiled) == [("double", 0), ("double", 1), ("float", 0), ("float", 1)]
    assert len(Log.launches) == 8


def test_a_launch_goes_to_the_current_stream(cupy):
    forward(cupy)
    with cupy.cuda.Stream() as stream:
        forward(cupy)
        with cupy.cuda.Stream(non_blocking=True) as inner:
            forward(cupy)
    forward(cupy)
    assert [launch.stream for launch in Log.launches] == [Stream.null, stream, inner, Stream.null]


def test_the_stream_of_the_device_of_the_arrays(cupy):
    """Work for one device does not go to the stream that is current on another."""
    with cupy.cuda.Device(1):
        a, y = cupy.asarray(A), cupy.empty(A.shape)
    with cupy.cuda.Stream():
        cuda_tools.launch(OP, KERNEL, (1, 3), 32, (y, a, None, 3, 4, 0))
    assert Log.launches[0][2:] == (1, Stream.null)


def test_arrays_of_two_devices(cupy):
    with cupy.cuda.Device(1):
        a = cupy.asarray(A)
    words = f"{KERNEL}: arrays in different places: y on device 0, a on device 1"
    y = cupy.empty(A.shape)
    with pytest.raises(ValueError, match=words):
        cuda_tools.launch(OP, KERNEL, (1, 3), 32, (y, a, None, 3, 4, 0))
    words = f"{KERNEL}: arrays in different places: y on device 0, a on the host"
    with pytest.raises(ValueError, match=words):
        cuda_tools.launch(OP, KERNEL, (1, 3), 32, (y, A, None, 3, 4, 0))
    with cupy.cuda.Device(1):
        assert bias_activation.forward(a, None, "tanh")[0].device.id == 1


def test_arrays_that_do_not_lie_in_one_piece(cupy):
    """The ops make them contiguous; the launcher by itself refuses them."""
    wide = cupy.asarray(np.repeat(A, 2, axis=1))[:, ::2]
    assert not wide.flags.c_contiguous
    y, saved = bias_activation.forward(wide, None, "tanh")
    np.testing.assert_allclose(y.get(), np.tanh(A), rtol=1e-14)
    da, _ = bias_activation.backward(wide, saved)
    np.testing.assert_allclose(da.get(), A * (1 - np.tanh(A) ** 2), atol=1e-13)
    words = f"{KERNEL}: a must be contiguous, got strides"
    with pytest.raises(ValueError, match=words):
        cuda_tools.launch(OP, KERNEL, (1, 3), 32, (cupy.empty((3, 4)), wide, None, 3, 4, 0))


# What a launcher without checks might hand to CuPy: each is noticed by the double.
PLANTED = {
    "a Python integer": ({3: 3}, TypeError, "long long is given int"),
    "a Python float": ({4: 4.0}, TypeError, "int is given float"),
    "an integer of another size": ({4: np.int64(4)}, TypeError, "int is given int64"),
    "no pointer": ({2: None}, TypeError, r"const double\* is given NoneType"),
    "a null of another size": ({2: np.int32(0)}, TypeError, r"const double\* is given int32"),
    "a host array": ({1: A}, TypeError, r"const double\* is given ndarray"),
    "an array of another type": (
        {1: A.astype(np.float32)}, TypeError, r"const double\* is given an array of float32"
    ),
    "strides": ({1: A.T.copy().T}, ValueError, "is given an array with strides"),
    "too few": ({5: ...}, TypeError, "5 arguments for 6 parameters"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_a_wrong_argument_is_noticed(what, cupy):
    changes, error, words = PLANTED[what]
    numbers = [np.uintp(0), np.int64(3), np.int32(4), np.int32(0)]
    values = [cupy.empty((3, 4)), cupy.asarray(A), *numbers]
    ((at, wrong),) = changes.items()
    if what == "strides":
        wrong = cupy.asarray(np.repeat(A, 2, axis=1))[:, ::2]
    elif what == "an array of another type":
        wrong = cupy.asarray(wrong)
    values[at] = wrong
    values = values[:-1] if wrong is ... else values
    if wrong is None:  # the launcher would make a null of it: past it
        module = cuda_device.module(OP, "double", 0)
        with pytest.raises(error, match=words):
            module.get_function(KERNEL)((1, 3, 1), (32, 1, 1), tuple(values))
        return
    with pytest.raises(error, match=words):
        cuda_device.launch(OP, KERNEL, "double", (1, 3, 1), (32, 1, 1), 0, values, 0)


def test_everything_is_compiled_ahead(cupy):
    names = cuda_device.warm_up()
    expected = [
        f"{name} {real}"
        for op in sources.ops()
        for real in sources.REALS
        for name in sources.kernels(op)
    ]
    assert names == expected
    assert len(Log.compiled) == 2 * len(sources.ops())
    compiled = len(Log.compiled)
    forward(cupy)
    assert len(Log.compiled) == compiled


def test_the_options_and_the_text(cupy):
    """No header is left to be looked for: NVRTC sees an empty path."""
    module = cuda_device.module(OP, "float", 0)
    assert module.options == ("--std=c++17", "-DBH_REAL=float")
    assert module.code == sources.text_for_nvrtc(OP)


# -- other libraries ------------------------------------------------------------------------------


class Tensor:
    """An array on a GPU from another library, by one protocol or both."""

    def __init__(self, host, dlpack=True, interface=True):
        self.host, self.dtype, self.shape = host, host.dtype, host.shape
        if dlpack:
            self.__dlpack_device__ = lambda: (2, 0)
            self.__dlpack__ = lambda stream, max_version: host.__dlpack__(max_version=max_version)
        if interface:
            self.__cuda_array_interface__ = {**host.__array_interface__, "version": 3}


@pytest.mark.parametrize(("dlpack", "interface"), [(True, True), (True, False), (False, True)])
def test_arrays_of_other_libraries_come_without_a_copy(dlpack, interface, cupy):
    foreign = Tensor(A.copy(), dlpack, interface)
    x = bh.to_device(foreign)
    assert type(x) is cupy.ndarray
    x += 1
    np.testing.assert_array_equal(foreign.host, A + 1)


def test_results_go_to_other_libraries_without_a_copy(cupy):
    y = forward(cupy)
    described = y.__cuda_array_interface__
    assert described["shape"] == (3, 4)
    assert described["typestr"] == "<f8"
    assert y.__dlpack_device__() == (2, 0)
    assert described["data"] == (y._host.ctypes.data, False)
    again = cupy.from_dlpack(y)
    again[0, 0] = 5.0
    assert y.get()[0, 0] == 5


def test_an_array_of_another_library_is_refused_with_the_cure(cupy):
    words = r"bias_activation: got tests's Tensor on a GPU; bh.to_device\(x\) makes a CuPy array"
    with pytest.raises(TypeError, match=words):
        bias_activation.forward(Tensor(A), None, "tanh")
    foreign = Tensor(A)
    foreign.dtype = "torch.float64"
    words = r"bias_activation: a must be an array, got Tensor; bh.to_device\(x\) makes one of it"
    with pytest.raises(TypeError, match=words):
        bias_activation.forward(foreign, None, "tanh")


def test_to_device_and_back(cupy):
    x = bh.to_device(A)
    assert bh.to_device(x) is x
    assert bh.to_host(A) is A
    np.testing.assert_array_equal(bh.to_host(x), A)
    np.testing.assert_array_equal(bh.to_host(Tensor(A)), A)
    assert bh.to_host([1.0, 2.0]).tolist() == [1, 2]
    x[0, 0] = 9
    assert A[0, 0] == 0


def test_without_a_gpu_there_is_a_reason(monkeypatch):
    from backhand import backend

    none = backend.Status(False, "CuPy is missing")
    monkeypatch.setattr(backend, "status", lambda name: none)
    words = "backend 'cuda' is not available: CuPy is missing"
    with pytest.raises(bh.BackendUnavailable, match=words):
        bh.to_device(A)
