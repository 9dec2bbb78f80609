"""Where suites and methods are found, read without running them, described and begun.

May import contract, errors, space, fingerprint and `records`; everybody above enters by it.
"""
