"""How many twins a table would have by chance alone, were its columns independent of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.data.keys import row_keys


@dataclass(frozen=True)
class Chance:
    """What independent columns give.

    Attributes:
      share: the expected share of rows that have at least one exact twin among the others.
    """

    share: float

    @staticmethod
    def fit(sample: pa.Table, columns: Sequence[str], num_rows: int) -> Chance:
        """From a sample of the stored rows of a table with `num_rows`.

        A row whose values have the shares p_1 ... p_k in their columns has a twin among n others with probability
        1 - exp(-n * p_1 * ... * p_k). A value that the sample shows once may be much rarer than that: it counts as half
        of one in the sample, or as one in the table where the column seems to go on bringing new values.

        Example:
          >>> coins = pa.table({"a": [0.0, 1.0] * 50, "b": [0.0] * 100})
          >>> Chance.fit(coins, ["a", "b"], 100).share > 0.99
          True
        """
        logs = np.zeros(sample.num_rows)
        for name in columns:
            batch = pa.RecordBatch.from_arrays([sample[name].combine_chunks()], names=[name])
            _, places, counts = np.unique(row_keys(batch, [name]), return_inverse=True, return_counts=True)
            new = float((counts == 1).sum()) / max(len(counts), 1)
            once = 1 / max(num_rows, 1) if new > 0.5 else 0.5 / max(sample.num_rows, 1)
            logs += np.log(np.where(counts == 1, once, counts / max(sample.num_rows, 1)))[places]
        if sample.num_rows == 0:
            return Chance(0.0)
        return Chance(float(np.mean(-np.expm1(-num_rows * np.exp(logs)))))
