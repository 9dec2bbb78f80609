"""Which runs count, their statistics, ranks and gaps: every number of a page is made here.

May import `statistics` and harness' records; `drawing`, `pages` and `publishing` enter.
"""
