"""Import of models of anybody: an ONNX file with a record, or an MLM Item that has one.

Exports, and the records of this platform's own models, are elsewhere.
"""
