"""Figures of a classifier, computed from counts that can be added up in any order."""
