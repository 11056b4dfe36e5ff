"""Areas that are mapped day by day: their declaration, and the scenes of a day."""
