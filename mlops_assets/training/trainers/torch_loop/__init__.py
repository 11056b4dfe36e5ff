"""Shared parts of the ready-made PyTorch trainers.

They are parameters, batches, augmentation, losses, and the loop over epochs.

All but `parameters` imports PyTorch, so it is loaded only while a model is trained.
"""
