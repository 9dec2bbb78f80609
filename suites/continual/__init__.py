"""Tasks that come one after the other.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
