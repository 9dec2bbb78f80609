"""Processes of their own for runs: the server that forks them and the walls around them.

May import `candidate`, which it starts, and the facts of `records`; `proctor` enters, and who
starts runs: `engines`, `study`, `checking`.
"""
