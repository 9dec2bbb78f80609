"""What the records say against the board's own ranks: each finding a sentence with what to do.

May import `statistics`, `standings` and harness' records; `pages` and `publishing` enter.
"""
