"""Export: the SavedModel that takes raw rows, its proof in a fresh process, its publication and its use."""
