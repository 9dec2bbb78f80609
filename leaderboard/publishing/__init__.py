"""The site built and checked, records exported, constants frozen: all that is written to disk.

May import every room of the leaderboard; the command line enters.
"""
