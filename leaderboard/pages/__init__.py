"""From numbers to words and HTML, with the templates.

May import `standings` and `drawing`; `publishing` enters, and the command line.
"""
