"""Figures, convex bodies, and constructive solid geometry built from them."""
