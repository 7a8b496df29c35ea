"""How far a result may be from its reference, each with the reason.  These only ever tighten."""

# Complex step against the hand-written backward, float64: rounding of a few hundred operations.
COMPLEX_STEP = 1e-12

# A float32 result against the float64 reference, relative to the largest entry: the ops here
# chain at most about ten roundings of half an ulp (6e-8), and sum pairwise or blocked.
FLOAT32 = 2e-6

# A float64 result of one backend against the float64 reference: the order of sums may differ.
FLOAT64 = 1e-14

# Times the error of NumPy in the same precision, where that is more: long products lose what
# they lose in any order of summation, and the largest error of one order is luck.
BASELINE = 3.0

# Times what the result moves by when each number that goes in moves by up to half a unit: a small
# sum of many large terms has lost that already, and each partial sum is rounded again.
ROUNDED = 8.0

# Units in the last place of the float32 functions in vec_math.h and numba_math.py.  Measured with
# every 23rd number from 2^-40 to 80 and the negative ones (up to 1 for log1p_unit): exp 1.008, log
# 0.80, expm1 1.43, log1p_unit 1.95, tanh 2.39 (at 0.0078), sigmoid 2.38 (at -16.6), softplus 2.62.
# tanh is e / (e + 2) with e = expm1(2x): the sum, just above 2, is rounded by up to one unit of a
# quotient just below a power of two, the quotient by half of one, and e is off by up to 0.9.
ULPS = {
    "exp": 1.05, "exp_below": 1, "log": 0.85, "expm1": 1.5, "log1p_unit": 2, "tanh": 2.45,
    "sigmoid": 2.45, "softplus": 2.7,
}  # fmt: skip
