"""Engines: prompt in, tokens out."""
