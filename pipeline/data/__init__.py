"""Everything from bytes to batches: sources, schema, splits, transforms, stores, augmentation, input pipelines."""
