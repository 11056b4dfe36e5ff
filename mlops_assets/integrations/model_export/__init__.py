"""Model versions handed over in the formats of other platforms: one module a format.

The ONNX file is the published one, byte for byte, in every format. What is written lies outside of
the workspace, and nothing of it is read again.
"""
