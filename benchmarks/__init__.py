"""Measurements run by hand: ``python -m benchmarks.NAME --data FOLDER``; each prints a Markdown table."""
