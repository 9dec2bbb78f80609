"""Families of scenarios, one module each."""
