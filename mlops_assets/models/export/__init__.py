"""A trained model as one ONNX file that is proven equal to it."""
