"""Sentences that the page and its exports share."""

NOTICE = "For research, not for diagnosis."
