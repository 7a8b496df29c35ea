// Activations and their derivatives, element by element; shared by C++ and CUDA.
// The equations are in kernels/bias_activation/DERIVATION.md.
#pragma once

#include "common/vec_math.h"

// In the order of ACTIVATIONS in kernels/bias_activation/reference.py.
enum Activation { IDENTITY, TANH, SIGMOID, RELU, LEAKY_RELU, SOFTPLUS, ELU };

template <Activation F, typename REAL>
BH_HD REAL activation(REAL u) {  // [bias_activation.2]
    if constexpr (F == TANH) return bh_tanh(u);
    if constexpr (F == SIGMOID) return bh_sigmoid(u);
    if constexpr (F == RELU) return u > REAL(0) ? u : REAL(0);
    if constexpr (F == LEAKY_RELU) return u > REAL(0) ? u : REAL(0.01) * u;
    if constexpr (F == SOFTPLUS) return bh_softplus(u);
    if constexpr (F == ELU) return u > REAL(0) ? u : bh_expm1(u);
    return u;
}

// The derivative as a function of y = f(u).
template <Activation F, typename REAL>
BH_HD REAL activation_slope(REAL y) {  // [bias_activation.5]
    if constexpr (F == TANH) return REAL(1) - y * y;
    if constexpr (F == SIGMOID) return y * (REAL(1) - y);
    if constexpr (F == RELU) return y > REAL(0) ? REAL(1) : REAL(0);
    if constexpr (F == LEAKY_RELU) return y > REAL(0) ? REAL(1) : REAL(0.01);
    if constexpr (F == SOFTPLUS) return -bh_expm1(-y);
    if constexpr (F == ELU) return y > REAL(0) ? REAL(1) : y + REAL(1);
    return REAL(1);
}

// Runs the statement with the constant F for the activation f.
#define BH_WITH_ACTIVATION(f, ...)                                         \
    switch (f) {                                                           \
        case IDENTITY: { constexpr Activation F = IDENTITY; __VA_ARGS__; break; }     \
        case TANH: { constexpr Activation F = TANH; __VA_ARGS__; break; }             \
        case SIGMOID: { constexpr Activation F = SIGMOID; __VA_ARGS__; break; }       \
        case RELU: { constexpr Activation F = RELU; __VA_ARGS__; break; }             \
        case LEAKY_RELU: { constexpr Activation F = LEAKY_RELU; __VA_ARGS__; break; } \
        case SOFTPLUS: { constexpr Activation F = SOFTPLUS; __VA_ARGS__; break; }     \
        case ELU: { constexpr Activation F = ELU; __VA_ARGS__; break; }               \
    }
