"""The three sides of a split, as they are stored and as people spell them."""

from __future__ import annotations

TRAIN, VALIDATION, TEST = 0, 1, 2
# A row on no side: it has no label, and nothing is learnt from it or measured on it.
NO_SIDE = 255

SIDES = ("train", "validation", "test")

# Spellings found in published data sets and folders, in lower case.
SIDE_OF_NAME = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
# Columns that are taken for a published split if every value in them is one of the spellings above.
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "fold")
