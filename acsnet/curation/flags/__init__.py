"""Detectors of flags: marks burned into images, and doubtful masks."""
