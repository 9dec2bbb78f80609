"""What a run costs and where it ran: clocks, memory, energy and its counters, the machine.

May import the facts of `records`; `proctor`, `engines`, `study` and `checking` enter.
"""
