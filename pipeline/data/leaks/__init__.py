"""Features that know the label: found on train rows before anything is learnt from them."""

from pipeline.data.leaks.find import find_leaks
from pipeline.data.leaks.leak import Leak

__all__ = ["Leak", "find_leaks"]
