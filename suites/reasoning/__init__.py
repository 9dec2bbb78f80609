"""Answers that a verifier can check.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
