"""Trained models and their runs in the forms of other tools; each is an extra of its own."""
