"""The scalar formulas of the LSTM step's derivation, by computer algebra."""

import pytest
import sympy as sp


@pytest.mark.equation("lstm_step.6", "lstm_step.7", "lstm_step.8", "lstm_step.9")
def test_gate_derivatives():
    names = "u_i u_f u_g u_o c_prev beta dh dc"
    u_i, u_f, u_g, u_o, c_prev, beta, dh, dc = sp.symbols(names, real=True)

    def s(u):
        return 1 / (1 + sp.exp(-u))

    i, f, g, o = s(u_i), s(u_f + beta), sp.tanh(u_g), s(u_o)
    c = f * c_prev + i * g
    t = sp.tanh(c)
    objective = dh * o * t + dc * c
    d_cell = dc + dh * o * (1 - t**2)
    derived = {
        u_i: d_cell * g * i * (1 - i),
        u_f: d_cell * c_prev * f * (1 - f),
        u_g: d_cell * i * (1 - g**2),
        u_o: dh * t * o * (1 - o),
        c_prev: d_cell * f,
    }
    for variable, expected in derived.items():
        difference = sp.diff(objective, variable) - expected
        assert sp.simplify(difference.rewrite(sp.exp)) == 0, variable


@pytest.mark.equation("lstm_step.2")
def test_both_forms_of_the_logistic_function():
    u = sp.symbols("u", real=True)
    half = (sp.tanh(u / 2) + 1) / 2
    assert sp.simplify(half.rewrite(sp.exp) - 1 / (1 + sp.exp(-u))) == 0
