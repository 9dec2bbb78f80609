"""Preferences, a learned reward and a true one.

`scenarios` is what the registry finds; the rest is this suite's alone.
"""
