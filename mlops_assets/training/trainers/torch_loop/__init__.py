"""What the ready-made PyTorch trainers share.

Parameters, batches, augmentation, losses, and the loop over epochs.

All but `parameters` imports PyTorch, so it is loaded only while a model is trained.
"""
