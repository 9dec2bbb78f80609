"""From numbers to coordinates: charts, panels, fronts, profiles.

May import `standings`; `pages` enters.
"""
