"""Curation: duplicates, doubtful masks and burnt-in marks, found before anybody believes a number."""
