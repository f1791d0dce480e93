"""Phantoms: simulated breast-ultrasound images with known lesions, for tests, demos and pre-training."""

from acsnet.phantom.generation import Phantom, make_phantom, write_phantoms

__all__ = ["Phantom", "make_phantom", "write_phantoms"]
