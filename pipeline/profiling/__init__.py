"""How fast batches come and go on this machine, which side waits, and what would help."""

from pipeline.profiling.measurement import Profile, profile
from pipeline.profiling.toml_edit import Change, apply

__all__ = ["Change", "Profile", "apply", "profile"]
