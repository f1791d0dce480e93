"""The page "Reproduction": every publication item by item, and the metrics side by side."""
