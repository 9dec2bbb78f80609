"""Samples that several suites learn from: bundled, generated, or real and on the user's disk.

May import the contract and harness.datasets; every suite enters.
"""
