"""The Open Inference Protocol, version 2, over HTTP: documents and tensors of requests and answers.

No HTTP server and no model here.
"""
