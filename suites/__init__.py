"""Families of scenarios, one room each, beside the data and networks that they share."""
