"""The site built and checked, pictures drawn, records exported, constants frozen: what is written.

May import every room of the leaderboard; the command line enters.
"""
