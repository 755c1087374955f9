"""The contract's checks, asked directly: which of some values break one; and the times that they look at.

Belongs here: pandera, and the step between a sender's local times and the contract's UTC. Does not belong here: which
values are tried (`proposals`, `rules`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.local.fake_sender.dice import Ints, Mask

LOCAL = pyarrow.timestamp("us")
_UTC = pyarrow.timestamp("us", "UTC")


def broken_by(check: pa.Check, values: pyarrow.Array | pd.DataFrame) -> Mask:
    """Where a check of the contract says no; typed values, or a frame for a check of whole rows. NULL breaks none."""
    said: object
    if isinstance(values, pd.DataFrame):
        # Not check(values): that fails where some rows got False and others NA.
        said = check.get_backend(values)(check).apply(values)  # type: ignore[no-untyped-call]  # pandera's
    else:
        said = check(pd.Series(values, dtype=pd.ArrowDtype(values.type))).check_output
    if not isinstance(said, pd.Series):
        return np.full(len(values), not bool(said))
    broken = np.zeros(len(values), dtype=np.bool_)
    broken[said.index[~said.fillna(value=True).to_numpy(dtype=np.bool_)]] = True
    if not isinstance(values, pd.DataFrame):
        broken &= pc.is_valid(values).to_numpy(zero_copy_only=False)
    return broken


def contract_type(values: pyarrow.Array, timezone: str) -> pyarrow.Array:
    """The values as the contract types them: local times as UTC, the first of two in a clock change."""
    if not pyarrow.types.is_timestamp(values.type):
        return values
    return pc.cast(pc.assume_timezone(values, timezone, ambiguous="earliest", nonexistent="latest"), _UTC)


def local_time(moments: Ints, timezone: str) -> pyarrow.Array:
    """Naive local time of moments in microseconds since 1970 UTC."""
    return pc.cast(pc.local_timestamp(pyarrow.array(moments).cast(_UTC).cast(pyarrow.timestamp("us", timezone))), LOCAL)
