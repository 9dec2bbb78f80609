"""Where suites and methods are found, read without running them, described and begun.

May import contract, errors, fingerprint, seeds, `records` and `candidate`; everybody above enters.
"""
