"""From raw rows to an evaluated SavedModel.

`pipeline run configs/x.toml` loads, splits, prepares, tunes, trains, evaluates and exports; each stage
also runs alone. Importing this package costs nothing: TensorFlow is imported by the stages that need it.
"""

__version__ = "0.1.0"
