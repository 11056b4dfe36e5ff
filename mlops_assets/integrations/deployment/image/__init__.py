"""The image of one model version: its folder, and the server and health check inside of it."""
