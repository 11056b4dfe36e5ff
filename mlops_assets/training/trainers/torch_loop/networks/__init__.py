"""The networks of the ready-made trainers.

Each takes unscaled samples of the data version, and scales them itself.

A class keeps its constructor's arguments under their own names: the native artefact of a model
stores them, and the PyTorch adapter builds the network from them again. So they must not change.
"""
