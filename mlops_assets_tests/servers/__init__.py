"""Real servers on loopback that tests talk to, one of each kind a test process, as pytest fixtures.

Started on first use, ended by their process id. What a test does with them does not belong here.
"""
