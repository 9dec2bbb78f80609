"""The method's side of a run: its process, the data it is handed, the messages it sends.

It runs beside code that nobody trusts, so it imports no label, no result and no room above it;
whoever speaks to a run may enter.
"""
