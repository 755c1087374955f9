"""Runs Streamlit with the slow imports done already: the first reader does not wait for them.

Belongs here: nothing else. Arguments are those of the `streamlit` command (cli/dashboard.py).
"""

from __future__ import annotations

import altair as alt
import pandas as pd
from streamlit.web.cli import main

from claims_pipeline import checks
from claims_pipeline.feeds import all_feeds

IMPORTED = (alt, pd, checks)

if __name__ == "__main__":
    all_feeds()  # contracts are made when they are first asked for
    main(prog_name="streamlit")
