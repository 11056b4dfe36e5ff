"""The log of requests: logged by servers and clients, kept a day a file, read by monitoring."""
