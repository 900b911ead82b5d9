"""Figures, convex bodies and the constructive geometry that is built of them."""
