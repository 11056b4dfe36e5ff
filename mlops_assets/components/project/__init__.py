"""A project as a whole: its declarations are read and checked, its jobs launched."""
