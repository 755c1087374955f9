"""The page that Streamlit runs: navigation, and one place where a database that does not answer is explained.

Belongs here: putting the pages together. Does not belong here: anything that a page shows of data. Run by
`claims-pipeline dashboard` (cli/dashboard.py).
"""

from __future__ import annotations

import datetime as dt
from functools import partial

import streamlit as st

from claims_pipeline.dashboard.operations import show_operations
from claims_pipeline.dashboard.pages import show_about, show_sender
from claims_pipeline.dashboard.reading import URL_VARIABLE, NotTheReaderError, NotThereError, UnreachableError
from claims_pipeline.dashboard.reports import Report, catalogue
from claims_pipeline.dashboard.words import PAGE_TITLES, label
from claims_pipeline.feeds import all_feeds, all_senders

_ICONS = {"va_form526": ":material/description:", "indici": ":material/local_hospital:"}
_OTHER = ":material/bar_chart:"


def main() -> None:
    """Draw the page that the address asks for."""
    st.set_page_config(page_title="claims_pipeline", page_icon="📊", layout="wide")
    now = dt.datetime.now(dt.UTC)
    found, trouble = _catalogue()
    titles = {sender.name: sender.title for sender in all_senders()}
    shown = list(dict.fromkeys([*PAGE_TITLES, *(report.sender for report in found)]))
    pages = [
        st.Page(
            partial(show_operations, all_feeds(), now=now),
            title="Operations",
            icon=":material/monitoring:",
            default=True,
        ),
        *(
            st.Page(
                partial(show_sender, sender, titles.get(sender, label(sender)), found, today=now.date()),
                title=PAGE_TITLES.get(sender, titles.get(sender, label(sender))),
                icon=_ICONS.get(sender, _OTHER),
                url_path=sender,
            )
            for sender in shown
        ),
        st.Page(partial(show_about, found, today=now.date()), title="About", icon=":material/info:", url_path="about"),
    ]
    page = st.navigation(pages)
    if trouble is not None:
        _explain(trouble)
        return
    try:
        page.run()
    except (UnreachableError, NotThereError, NotTheReaderError) as error:
        _explain(error)


def _catalogue() -> tuple[list[Report], UnreachableError | NotTheReaderError | None]:
    try:
        return catalogue(), None
    except NotThereError:
        return [], None  # the operations page does without, the others say that there is no report yet
    except (UnreachableError, NotTheReaderError) as error:
        return [], error


def _explain(error: UnreachableError | NotThereError | NotTheReaderError) -> None:
    what = {
        UnreachableError: "See that Postgres runs and is reached from here (`claims-pipeline local status` where it is "
        "embedded; it may have another port since it was started again: start the dashboard again), then reload.",
        NotThereError: "Run `claims-pipeline migrate` as the owner, then reload.",
        NotTheReaderError: f"Set {URL_VARIABLE} to a login of bi_reader (docs/access.md).",
    }[type(error)]
    st.warning(f"**No data can be read:** {error}. {what}", icon=":material/cloud_off:")


if __name__ == "__main__":  # as Streamlit runs it
    main()
