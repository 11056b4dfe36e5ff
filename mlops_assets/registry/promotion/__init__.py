"""Decisions on model versions, deployments, alarms, and messages of events to webhooks."""
