"""Approval, rejection and deprecation of model versions, and what they mean for promotion."""
