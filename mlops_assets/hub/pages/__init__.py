"""The pages of the hub, by NiceGUI."""
