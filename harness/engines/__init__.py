"""Where runs take place: this machine, several at a time; a cluster would stand here too.

May import `proctor`, what that may import, `registry` and `space`; `study` enters, and who asks it.
"""
