"""What a run costs and where it ran: clocks, counters, joules, the machine.

May import the facts of `records`; entered by `proctor`, `engines` and `checking`.
"""
