"""The paths of the Open Inference Protocol, version 2, and of the metrics.

Thin: they read a request, call one function, and write a response.
"""
