"""Data sets of the hub and their pictures, from the user's own copies; the folder of caches.

May import contract and errors; suites enter, and the command line.
"""
