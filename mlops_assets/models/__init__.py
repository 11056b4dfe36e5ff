"""Model versions: published, exported, evaluated, recorded, promoted and verified."""
