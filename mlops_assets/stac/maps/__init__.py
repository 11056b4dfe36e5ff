"""Records of maps: what the document of a map states, and its STAC Item and Collection."""
