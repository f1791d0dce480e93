"""Hooks of the documentation site, and its docstrings as Markdown."""
