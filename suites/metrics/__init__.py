"""Numbers that several suites report.

May import the contract only; every suite enters.
"""
