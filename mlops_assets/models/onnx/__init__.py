"""ONNX graphs: editing them, and running them under onnxruntime."""
