"""Utilities that are independent of the field: names, files, downloads, tables, pages."""
