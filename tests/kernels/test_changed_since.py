"""What a caller may do between a forward and its backward, or hand in, without harm."""

import numpy as np
import pytest

from backhand.kernels import bias_activation, causal_conv, embedding, softmax_cross_entropy
from tests.kernels.harness import needs

each_backend = pytest.mark.parametrize("backend", ["numpy", "numba", "native"])


@each_backend
def test_ids_and_targets_that_left_their_range_are_refused(backend):
    needs(backend)
    ids = np.arange(4)
    y, saved = embedding.forward(np.zeros((4, 3)), ids, backend=backend)
    _, other = softmax_cross_entropy.forward(np.zeros((4, 4)), ids, backend=backend)
    ids[:] = 50_000_000
    with pytest.raises(ValueError, match="must lie in"):
        embedding.backward(y, saved, backend=backend)
    with pytest.raises(ValueError, match="must lie in"):
        softmax_cross_entropy.backward(np.ones(4), other, backend=backend)


@each_backend
def test_a_subclass_of_the_array_is_not_written(backend):
    needs(backend)

    class Sub(np.ndarray):
        pass

    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((2, 7, 80)), rng.standard_normal((3, 80, 80))
    y, saved = causal_conv.forward(x, W, None, backend=backend)
    dy = rng.standard_normal(y.shape)
    causal_conv.backward(dy.view(Sub), saved, backend=backend)
    assert dy.all()


@each_backend
@pytest.mark.parametrize("name", bias_activation.ACTIVATIONS)
def test_infinities_pass_an_activation_as_in_the_reference(name, backend):
    needs(backend)
    a = np.array([[-np.inf, np.inf, 0.5, -0.5]])
    with np.errstate(all="ignore"):
        right, _ = bias_activation.forward(a, None, name, backend="numpy")
    found, _ = bias_activation.forward(a, None, name, backend=backend)
    assert np.allclose(found, right, equal_nan=True)


@pytest.mark.parametrize("kind", [">f4", ">f8", np.float16, np.longdouble])
def test_other_floats_are_refused_before_any_backend(kind):
    with pytest.raises(TypeError, match="float32 or float64"):
        bias_activation.forward(np.zeros((2, 3), kind), None, "tanh")
