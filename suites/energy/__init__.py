"""Learning with and without backpropagation, by what it costs.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
