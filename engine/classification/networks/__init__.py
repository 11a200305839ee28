"""Convolutional networks: the backbones, and how they run frozen and fast."""
