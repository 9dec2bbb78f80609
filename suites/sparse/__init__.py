"""Networks of few weights.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
