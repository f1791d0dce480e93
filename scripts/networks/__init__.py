"""Diagrams and tables of shapes of the networks, from the networks themselves: python -m scripts.networks."""
