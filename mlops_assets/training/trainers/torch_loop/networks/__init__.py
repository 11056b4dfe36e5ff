"""The networks of the ready-made trainers.

Each takes samples as the data version gives them; scaling is inside.

A class keeps its constructor's arguments under their own names, so that the PyTorch adapter can
build it again.
"""
