"""``make mutants``: formulas are spoiled one by one, and the checks of each op must notice.

A mutant is one reference or one C++ kernel with one change: a sign flipped, a term or a factor
dropped, a product doubled.  Each is given to the op's own checks in a child process; what
survives them is listed with its line.  A kernel for a device loses one barrier, check or bound:
numbers, orders of threads or sanitizers must notice.  ``equivalent.toml`` has those that cannot
be noticed, with the reason.
"""
