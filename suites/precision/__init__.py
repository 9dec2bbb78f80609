"""Numbers of few bits.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
