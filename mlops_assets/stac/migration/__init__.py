"""Records of earlier releases: what they declare, and the same as this release writes them."""
