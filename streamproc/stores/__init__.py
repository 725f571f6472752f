"""Stores: what makes a pipeline survive its process."""
