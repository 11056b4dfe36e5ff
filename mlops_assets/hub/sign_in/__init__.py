"""Who calls the hub: bearer tokens of programs, sessions of people, and a gateway before it.

What a caller may do is decided by the registry.
"""
