"""What the page of one model version shows, and what may be decided there."""
