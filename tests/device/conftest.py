import pytest

from tests.device import double
from tests.kernels.harness import needs


@pytest.fixture
def cupy():
    """The double in CuPy's place."""
    needs("emulated")
    with double.installed() as module:
        yield module


# pytest -m gpu runs what asks for a device on a real one, and nothing else.
ON = ["double", pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=ON)
def device(request):
    """A place for backend ``cuda``: the double, and the GPU of this machine."""
    if request.param == "double":
        yield request.getfixturevalue("cupy")
    else:
        needs("cuda")
        yield __import__("cupy")
