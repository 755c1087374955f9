"""The dashboard: pages that read schema `bi` as `bi_reader` and show counts to people. Streamlit, an extra.

Belongs here: reading reports, drawing them, and the words beside them. Does not belong here: any other connection or
schema, how reports are computed or protected (warehouse/bi), starting the process (cli/dashboard.py). Only this package
imports streamlit; nothing imports it.
"""
