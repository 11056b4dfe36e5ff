"""The chained log of every change: appended, mirrored, replayed, verified, rebuilt from."""
