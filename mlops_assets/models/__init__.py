"""What a model version is and becomes.

Published, exported, evaluated, recorded, promoted, verified.
"""
