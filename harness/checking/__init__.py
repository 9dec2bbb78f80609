"""Whether records, methods and this machine are what they say: verify, check, doctor.

May import everything but `reproduction` and the command line, which enters.
"""
