"""A third sender in one file: a clinic that delivers visits (changes) and wards (snapshots) as CSV with semicolons."""

import datetime as dt

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds import contract as c

SENDER = c.Sender(
    name="clinic",
    title="City clinic",
    timezone="Europe/Vienna",
    prefix="clinic/",
    start=dt.date(2026, 1, 1),
    calendar=c.Calendar((1, 2, 3, 4, 5), due=dt.time(6, 30), holidays=c.Holidays("AT")),
)


class Visits(c.FeedModel):
    """One row per visit."""

    visit_id: c.BigInt = c.column("Visit number", key=True, ge=1)
    patient_number: c.Text = c.column("Patient number", pii=c.Pii.DIRECT, treatment=c.Token(into="patient_key"))
    born: c.Date = c.column(
        "Date of birth", pii=c.Pii.DIRECT, treatment=c.Reduce(c.Reduction.BIRTH_YEAR, into="birth_year")
    )
    ward: c.Text = c.column("Ward", isin=["emergency", "surgery", "maternity"], raise_warning=True)
    admitted_at: c.Timestamp = c.column(
        "Admitted at", pii=c.Pii.QUASI, treatment=c.Keep(), required=True, nullable=False
    )
    left_at: c.Timestamp = c.column("Discharged at", pii=c.Pii.QUASI, treatment=c.Keep())
    bill: c.Money = c.column("Bill, in euro", ge=0)
    notes: c.Text = c.column("Notes", pii=c.Pii.SPECIAL, treatment=c.Drop())
    changed_at: c.Timestamp = c.column("Last changed at", required=True, nullable=False)

    @pa.dataframe_check(name="left_after_admitted")
    def left_after_admitted(cls, df: pd.DataFrame) -> pd.Series:
        """Nobody leaves before they came."""
        return (df["left_at"] >= df["admitted_at"]).fillna(value=True)


class Wards(c.FeedModel):
    """One row per ward; every dump holds all of them."""

    ward_id: c.BigInt = c.column("Ward number", key=True, ge=1)
    beds: c.Integer = c.column("Beds", ge=0, required=True)


FORMAT = c.Csv(delimiter=";", decimal=",", thousands=".", dates=("%d.%m.%Y",), timestamps=("%d.%m.%Y %H:%M",))
BI = c.BiView("admitted_at", ("ward",))
WHOSE = c.Subject(tokens=("patient_key",))
VISITS = (r"^visits_(?P<stamp>\d{14})\.csv(?:\.gz)?$",)
FEEDS = (
    c.Feed(SENDER, "visits", Visits, VISITS, "changed_at", format=FORMAT, bi=BI, subject=WHOSE),
    c.Feed(SENDER, "wards", Wards, (r"^wards_(?P<stamp>\d{14})\.csv$",), snapshot=c.Snapshot(), format=FORMAT),
)
