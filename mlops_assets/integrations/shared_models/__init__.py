"""Model versions of other workspaces, used by their records without a copy.

Models of other software are the business of `mlm`.
"""
