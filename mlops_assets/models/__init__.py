"""What a model version is and becomes: published, exported, evaluated, recorded, promoted, verified."""
