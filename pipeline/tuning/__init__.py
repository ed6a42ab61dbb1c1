"""The stage `tune`: what the search asks for is trained, the best are scored again, and a winner is chosen."""

# What lasts of a search: beside its checkpoints while it runs, and in its artifact.
JOURNAL = "journal.jsonl"
# Data of folds, and data prepared in other ways, beside it.
PREPARED = "prepared"
