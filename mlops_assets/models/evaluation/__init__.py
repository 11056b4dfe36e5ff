"""Measuring a model version on the test split: metrics, intervals, calibration, figures, card."""
