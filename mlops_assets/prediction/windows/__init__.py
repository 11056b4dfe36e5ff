"""Models run over scenes: where windows lie, and the strips that they give."""
