"""Katib: hyperparameter tuning as a service."""
