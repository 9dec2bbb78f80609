"""Numbers that others have reported, and our own that are stale: run again and compared.

May import everything but `checking` and the command line, which enters.
"""
