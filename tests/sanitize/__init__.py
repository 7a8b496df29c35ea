"""``make sanitize``: the tests of the compiled kernels, under AddressSanitizer and UBSan."""
