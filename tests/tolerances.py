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
