"""Decisions on model versions, and the messages by which webhooks learn of events."""
