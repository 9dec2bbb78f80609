"""Networks that several suites train, and how the harness predicts with them.

May import the contract; every suite enters, and the process of a method.
"""
