"""Report of curation: one HTML page with all conflicts, copies, overlaps and flags."""
