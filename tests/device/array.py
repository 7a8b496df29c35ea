"""The double's array: NumPy's numbers behind CuPy's names, and nothing that goes to the host."""

import operator

import numpy as np

from tests.device.record import parse, recorded

SIGNATURES = {name: parse(text) for name, text in recorded()["names"].items() if text}
VIEWS = ("reshape", "swapaxes", "transpose", "ravel", "view", "squeeze")  # of any device
METHODS = (
    "sum", "mean", "max", "min", "var", "astype", "copy", "nonzero", "argmax", "argsort", "fill",
)  # fmt: skip
PROPERTIES = ("dtype", "shape", "ndim", "size", "strides", "nbytes", "itemsize")
OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "lshift", "rshift",
)  # fmt: skip
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
UNARY = ("neg", "pos", "abs", "invert")


class Current:
    """The device on which the thread works."""

    device = 0


def bound(name, args, kwargs, skip=0):
    """TypeError where CuPy's own function does not take these arguments."""
    if name not in SIGNATURES:
        raise AttributeError(f"{name} is not on the record of CuPy's names")
    try:
        SIGNATURES[name].bind(*[None] * skip, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}({SIGNATURES[name]}): {error}") from None


def inside(x, anywhere=False):
    """What NumPy computes with in the place of x; refuses arrays of the host and other devices."""
    if isinstance(x, ndarray):
        if x.device.id != Current.device and not anywhere:
            raise ValueError(
                "Array device must be same as the current device: "
                f"array device = {x.device.id} while current = {Current.device}"
            )
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: an array of the host")
    if isinstance(x, tuple | list):
        return type(x)(inside(y, anywhere) for y in x)
    return x


def outside(x, device=None):
    """A result of NumPy's as the device has it: also a single number is an array there."""
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(np.asarray(x), Current.device if device is None else device)
    if isinstance(x, tuple | list):
        return type(x)(outside(y, device) for y in x)
    return x


def key_of(key):
    """An index; arrays of the host and lists would be copied to the device in silence."""
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, list):
            raise TypeError("an index that is a list is copied to the device at each use")
    return inside(key)


def to_host(name):
    def refuse(self, *args, **kwargs):
        raise TypeError(
            f"{name} of an array on a device: implicit conversion to the host is not allowed; "
            "use .get()"
        )

    return refuse


class Flags:
    """No ``writeable``: CuPy has none."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


class ndarray:
    """See the module; ``cupy.ndarray`` to everyone who asks."""

    __array_ufunc__ = None  # NumPy's scalars leave their operators to ours, its arrays are refused
    __hash__ = None

    def __init__(self, host, device):
        self._host, self._device = host, device

    @property
    def device(self):
        from tests.device.engine import Device

        return Device(self._device)

    @property
    def flags(self):
        return Flags(self._host.flags)

    @property
    def T(self):
        return ndarray(self._host.T, self._device)

    @property
    def real(self):
        return ndarray(self._host.real, self._device)

    @property
    def imag(self):
        return ndarray(self._host.imag, self._device)

    def get(self, *args, **kwargs):
        bound("ndarray.get", args, kwargs, 1)
        return self._host.copy()

    def __getitem__(self, key):
        key = key_of(key)
        found = self._host[key]
        if isinstance(found, np.generic):  # a view all the same
            found = self._host[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return ndarray(found, self._device)

    def __setitem__(self, key, value):
        inside(self)
        self._host[key_of(key)] = inside(value)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    @property
    def __cuda_array_interface__(self):
        return {**self._host.__array_interface__, "version": 3, "stream": 1}

    def __dlpack__(self, **kwargs):
        bound("ndarray.__dlpack__", (), kwargs, 1)
        return self._host.__dlpack__(max_version=kwargs.get("max_version"))

    def __dlpack_device__(self):
        return 2, self._device  # kDLCUDA

    def __repr__(self):
        return f"<array {self.shape} {self.dtype} on device {self._device}>"


ndarray.__module__ = "cupy"
ndarray.__qualname__ = ndarray.__name__ = "ndarray"


def _method(name, anywhere):
    def call(self, *args, **kwargs):
        bound(f"ndarray.{name}", args, kwargs, 1)
        with np.errstate(all="ignore"):
            found = getattr(inside(self, anywhere), name)(
                *inside(args), **{key: inside(value) for key, value in kwargs.items()}
            )
        return outside(found, self._device)

    return call


def _operator(function, swapped=False):
    def call(self, other):
        try:
            a, b = inside(self), inside(other)
        except TypeError as error:
            raise TypeError(f"{function.__name__}: {error}") from None
        if not isinstance(b, np.ndarray | np.generic | int | float | complex):
            return NotImplemented
        with np.errstate(all="ignore"):
            return outside(function(b, a) if swapped else function(a, b))

    return call


def _in_place(function):
    def call(self, other):
        a, b = inside(self), inside(other)
        with np.errstate(all="ignore"):
            assert function(a, b) is a
        return self

    return call


for _name in (*VIEWS, *METHODS):
    setattr(ndarray, _name, _method(_name, _name in VIEWS))
for _name in PROPERTIES:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._host, name)))
for _name in OPERATORS:
    _function = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _operator(_function, swapped=True))
    setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in COMPARISONS:
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))
for _name in UNARY:
    _function = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", lambda self, f=_function: outside(f(inside(self))))
for _name in ("__array__", "__float__", "__int__", "__bool__", "__index__", "__complex__"):
    setattr(ndarray, _name, to_host(_name.strip("_")))
for _name in ("item", "tolist", "tobytes"):
    setattr(ndarray, _name, to_host(_name))
