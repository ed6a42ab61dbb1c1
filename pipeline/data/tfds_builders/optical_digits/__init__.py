"""Handwritten digits of 8x8 pixels, from scikit-learn, as a TFDS data set."""
