"""Near duplicates: rows that are the same thing twice, found without comparing all with all, and what joins them."""

from pipeline.data.twins.clusters import clusters, groups_of_equal
from pipeline.data.twins.images import SIGNATURE_BYTES, draft_size, near_images, signature
from pipeline.data.twins.texts import near_texts, normalize

__all__ = [
    "SIGNATURE_BYTES",
    "clusters",
    "draft_size",
    "groups_of_equal",
    "near_images",
    "near_texts",
    "normalize",
    "signature",
]
