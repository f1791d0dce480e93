"""What the documentation site needs in addition to its pages: hooks of mkdocs, and docstrings as Markdown."""
