"""Search for duplicates: description of images, candidate pairs, alignment and structural similarity."""
