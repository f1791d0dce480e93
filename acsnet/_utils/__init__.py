"""Utilities that know nothing of the field: names, files, downloads, tables, pages."""
