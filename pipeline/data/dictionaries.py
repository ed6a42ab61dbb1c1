"""One dictionary for all batches of a column: what comes later is appended, so codes keep their meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# A column with more categories keeps a dictionary a batch: one for all would grow with the rows.
_MOST = 200_000


@dataclass
class Dictionaries:
    """Brings the dictionary-encoded columns of batches, one after another, to common dictionaries.

    Example:
      >>> first, second = (pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "b"]))
      >>> unified = Dictionaries()
      >>> _ = unified(pa.record_batch({"letter": first}))
      >>> unified(pa.record_batch({"letter": second})).column(0).indices.to_pylist()
      [2, 1]
    """

    known: dict[str, pa.Array | None] = field(default_factory=dict)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows."""
        columns = [
            self._unified(name, column) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _unified(self, name: str, column: pa.DictionaryArray) -> pa.DictionaryArray:
        known = self.known.setdefault(name, column.dictionary)
        if known is None or known is column.dictionary:
            return column
        places = pc.index_in(column.dictionary, value_set=known)
        if places.null_count:
            new = column.dictionary.filter(pc.is_null(places))
            known = pa.concat_arrays([known, new])
            self.known[name] = known = known if len(known) <= _MOST else None
            if known is None:
                return column
            places = pc.index_in(column.dictionary, value_set=known)
        # A code more than there are categories: a column that is empty throughout has none, and a null has code 0.
        codes = np.append(np.asarray(places, np.int32), np.int32(0))[np.asarray(column.indices.fill_null(0))]
        indices = pa.array(codes, mask=np.asarray(column.indices.is_null()) if column.null_count else None)
        return pa.DictionaryArray.from_arrays(indices, known)
