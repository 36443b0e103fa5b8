"""Results as pandas has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_EXACT_IN_FLOAT = 2**53


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a result as pandas has it: sums (128 bit in DuckDB) as floats, and no key that lost digits."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = []
    for index, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.float64()))
        elif pa.types.is_int64(column.type) and table.column(index).null_count:
            bounds = pc.min_max(table.column(index)).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _EXACT_IN_FLOAT:
                exact.append(index)
    frame: pd.DataFrame = table.to_pandas()
    for index in exact:  # beside NULLs, pandas would make floats of them
        values = pd.array(table.column(index).to_pylist(), dtype="Int64")
        frame.isetitem(index, values)
    return frame
