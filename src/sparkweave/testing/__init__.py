"""Helpers for tests of programs that use sparkweave; nothing in the library imports them."""
