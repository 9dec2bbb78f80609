"""Where runs take place: this machine, several at a time; a cluster would stand here too.

May import everything but `checking`, `reproduction` and the command line; `study` enters.
"""
