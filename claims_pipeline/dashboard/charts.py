"""How figures are drawn: one accent, colours that colour-blind people tell apart, grey for what is no group.

Belongs here: frames in, Altair charts out; they take light and dark from the page. Does not belong here: queries.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from claims_pipeline.dashboard import words
from claims_pipeline.dashboard.days import OUTCOMES, VERDICTS
from claims_pipeline.dashboard.reports import OTHERS, SMALL, UNKNOWN

AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

ACCENT = "#2a78b5"
"""Of the theme, too (cli/dashboard.py)."""

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), yellow, which is lost on white, replaced.
_GROUPS = (ACCENT, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195")
_MEANT = {"success": "#009e73", "incomplete": "#e69f00", "failure": "#d55e00"}
_GREYS = {OTHERS: "#6f7680", UNKNOWN: "#a9afb7", SMALL: "#c9cdd2"}
_OUTCOMES = {
    "loaded": "#7fb2d6", "many": "#2a5f8f", "open": "#c7dff0", "held": "#e69f00", "bad": "#d55e00",
    "missing": "rgba(255,255,255,0)", "nothing": "#c9cdd2",
}  # fmt: skip
_SIGNS = {"held": "!", "bad": "×", "missing": "–", "open": "…"}
_INK = "#1d2329"
_VERDICTS = (ACCENT, "#56b4e9", "#a9afb7", "#cc79a7", "#7a5195", "#6f7680", "#d55e00")
_STAGES = {"archive": "#a9afb7", "validation": "#56b4e9", "load": ACCENT}
_BAND = "#8a9099"

_UNITS: dict[str, Any] = {"day": "yearmonthdate", "month": "yearmonth", "year": "year"}
_FORMATS = {"day": "%-d %b", "month": "%b %Y", "year": "%Y"}
_HEIGHT = 280
_ROW = 22


def over_time(frame: pd.DataFrame, bands: pd.DataFrame, *, grain: str, counted: str, value: str) -> AnyChart:
    """Stacked bars by period, and grey bands over periods of which some is counted elsewhere.

    Args:
        frame: period, name, and the column `value`.
        bands: start, end, text; may be empty.
        grain: day, month or year.
        counted: what is counted, for the axis.
        value: column to draw.
    """
    names = _in_order(frame, value)
    data = frame.assign(period=pd.to_datetime(frame["period"]), place=frame["name"].map(names.index))
    x = alt.X(
        "period:T",
        timeUnit=alt.TimeUnitParams(unit=_UNITS[grain], utc=False),
        title=None,
        axis=alt.Axis(
            format=_FORMATS[grain],
            labelOverlap=True,
            grid=False,
            tickCount=8,
            **_middles(data["period"], grain),
        ),
    )
    bars = (
        alt.Chart(data)
        .mark_bar(binSpacing=_spacing(data["period"]))
        .encode(
            x=x,
            y=alt.Y(f"{value}:Q", stack="zero", title=words.label(counted), axis=alt.Axis(format=",~f", tickCount=5)),
            color=_colour(names, legend=len(names) > 1),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("period:T", title=words.per(grain), format="%-d %b %Y" if grain == "day" else "%b %Y"),
                alt.Tooltip("name:N", title="Group"),
                alt.Tooltip(f"{value}:Q", title=words.label(counted), format=",.0f"),
            ],
        )
    )
    layers: list[alt.Chart] = [bars]
    if not bands.empty:
        shade = (
            alt.Chart(bands.assign(start=pd.to_datetime(bands["start"]), end=pd.to_datetime(bands["end"])))
            .mark_rect(color=_BAND, opacity=0.16)
            .encode(x=alt.X("start:T", title=None), x2="end:T", tooltip=[alt.Tooltip("text:N", title="Merged")])
        )
        layers.insert(0, shade)
    return alt.layer(*layers).properties(height=_HEIGHT)


def ranking(frame: pd.DataFrame, *, counted: str) -> AnyChart:
    """Horizontal bars, longest first; `name`, `value`. What is no group is grey and last."""
    special = frame["name"].isin(list(_GREYS))
    names = [*frame.loc[~special, "name"], *frame.loc[special, "name"]]
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "name:N",
            sort=names,
            title=None,
            axis=alt.Axis(
                labelLimit=140, labelOverlap=False, labelBound=False, labelFlush=False, ticks=False, domain=False
            ),
        ),
        x=alt.X(
            "value:Q",
            title=None,
            axis=None,
            scale=alt.Scale(nice=False, domain=[0, float(frame["value"].max()) * 1.35]),
        ),
        tooltip=[
            alt.Tooltip("name:N", title="Group"),
            alt.Tooltip("value:Q", title=words.label(counted), format=",.0f"),
        ],
    )
    colours = [_GREYS.get(name, ACCENT) for name in names]
    bars = base.mark_bar(cornerRadius=1, size=14).encode(
        color=alt.Color("name:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    )
    text = base.mark_text(align="left", dx=4, color=_BAND).encode(text=alt.Text("value:Q", format=",.0f"))
    return alt.layer(bars, text).properties(height=max(90, _ROW * len(names)))


def calendar(days: pd.DataFrame, *, datasets: Sequence[str], choose: alt.Parameter) -> AnyChart:
    """A square per feed and delivery day, coloured by what became of it; a sign for what needs a person.

    It is at least a month wide: few days stay squares.
    """
    last = pd.Timestamp(days["delivery_day"].max())
    first = min(pd.Timestamp(days["delivery_day"].min()), last - pd.Timedelta(days=29))
    ends = [_moment(first), _moment(last + pd.Timedelta(days=1))]
    data = days.assign(
        day=pd.to_datetime(days["delivery_day"]),
        said=days["outcome"].map(OUTCOMES),
        sign=days["outcome"].map(_SIGNS).fillna(""),
        ink=days["outcome"].eq("missing").map({True: _BAND, False: _INK}),
    )
    data = data[["feed", "dataset", "day", "said", "sign", "ink", "verdicts", "dumps", "rows_read", "rows_quarantined"]]
    present = [name for name in OUTCOMES if name in set(days["outcome"])]
    base = alt.Chart(data).encode(
        x=alt.X(
            "yearmonthdate(day):T",
            title=None,
            scale=alt.Scale(domain=ends),
            axis=alt.Axis(format="%-d %b", labelOverlap=True, grid=False, tickCount=10),
        ),
        y=alt.Y(
            "dataset:N",
            sort=list(datasets),
            title=None,
            axis=alt.Axis(
                labelLimit=240,
                labelOverlap=False,
                labelBound=False,
                labelFlush=False,
                grid=False,
                ticks=False,
                domain=False,
            ),
        ),
    )
    squares = base.mark_rect(stroke=_BAND, strokeWidth=0.25, strokeOpacity=0.5).encode(
        color=alt.Color(
            "said:N",
            title=None,
            scale=alt.Scale(domain=[OUTCOMES[name] for name in present], range=[_OUTCOMES[name] for name in present]),
            legend=alt.Legend(orient="top", direction="horizontal", columns=0, labelLimit=260, symbolType="square"),
        ),
        opacity=alt.condition(choose, alt.value(1.0), alt.value(0.35)),
        tooltip=[
            alt.Tooltip("feed:N", title="Feed"),
            alt.Tooltip("day:T", title="Delivery day", format="%a %-d %b %Y"),
            alt.Tooltip("said:N", title="Outcome"),
            alt.Tooltip("verdicts:N", title="Verdicts"),
            alt.Tooltip("dumps:Q", title="Dumps"),
            alt.Tooltip("rows_read:Q", title="Rows read", format=",.0f"),
            alt.Tooltip("rows_quarantined:Q", title="Rows set apart", format=",.0f"),
        ],
    )
    signed = base.transform_filter("datum.sign != ''").mark_text(fontWeight="bold", fontSize=11)
    signs = signed.encode(
        x=alt.X("yearmonthdate(day):T", title=None, bandPosition=0.5),
        text="sign:N",
        color=alt.Color("ink:N", scale=None, legend=None),
    )
    chart: alt.LayerChart = alt.layer(squares.add_params(choose), signs).resolve_scale(color="independent")
    return chart.properties(height=max(120, 20 * len(datasets) + 80))


def verdicts(days: pd.DataFrame) -> AnyChart:
    """Rows by verdict and delivery day, stacked."""
    columns = {f"rows_{name}": name for name in VERDICTS}
    sums = days.groupby("delivery_day")[list(columns)].sum().rename(columns=columns).reset_index()
    data = sums.melt("delivery_day", var_name="verdict", value_name="rows")
    data = data[data["rows"] > 0].assign(
        day=lambda frame: pd.to_datetime(frame["delivery_day"]),
        place=lambda frame: frame["verdict"].map(VERDICTS.index),
    )
    present = [name for name in VERDICTS if name in set(data["verdict"])]
    return _per_day(data, "verdict", "rows", "Rows", present, [_VERDICTS[VERDICTS.index(name)] for name in present])


def load_seconds(times: pd.DataFrame) -> AnyChart:
    """Seconds by stage and delivery day, stacked."""
    data = times.melt("delivery_day", value_vars=list(_STAGES), var_name="stage", value_name="seconds").assign(
        day=lambda frame: pd.to_datetime(frame["delivery_day"]),
        place=lambda frame: frame["stage"].map(list(_STAGES).index),
    )
    return _per_day(data, "stage", "seconds", "Seconds", list(_STAGES), list(_STAGES.values()))


def rows_per_second(times: pd.DataFrame) -> AnyChart:
    """Median of the loads' rows per second, by delivery day."""
    data = times.assign(day=pd.to_datetime(times["delivery_day"]))
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_line(color=ACCENT, point=alt.OverlayMarkDef(color=ACCENT, size=18))
        .encode(
            x=_days_axis(),
            y=alt.Y("rows_per_second:Q", title="Rows per second", axis=alt.Axis(format=",~f", tickCount=4)),
            tooltip=[
                alt.Tooltip("day:T", title="Delivery day", format="%-d %b %Y"),
                alt.Tooltip("rows_per_second:Q", title="Rows per second", format=",.0f"),
                alt.Tooltip("loads:Q", title="Loads"),
                alt.Tooltip("rows:Q", title="Rows", format=",.0f"),
            ],
        )
        .properties(height=230)
    )
    return chart


def _per_day(
    data: pd.DataFrame, series: str, value: str, title: str, names: Sequence[str], colours: Sequence[str]
) -> AnyChart:
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_bar(binSpacing=_spacing(data["day"]))
        .encode(
            x=_days_axis(),
            y=alt.Y(f"{value}:Q", stack="zero", title=title, axis=alt.Axis(format=",~f", tickCount=4)),
            color=alt.Color(
                f"{series}:N",
                title=None,
                scale=alt.Scale(domain=list(names), range=list(colours)),
                legend=alt.Legend(orient="top", direction="horizontal", columns=0),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("day:T", title="Delivery day", format="%-d %b %Y"),
                alt.Tooltip(f"{series}:N", title=words.label(series)),
                alt.Tooltip(f"{value}:Q", title=title, format=",.1f" if value == "seconds" else ",.0f"),
            ],
        )
        .properties(height=230)
    )
    return chart


def _days_axis() -> alt.X:
    return alt.X(
        "yearmonthdate(day):T",
        title=None,
        axis=alt.Axis(format="%-d %b", labelOverlap=True, grid=False, tickCount=6),
    )


def _middles(periods: pd.Series, grain: str) -> dict[str, Any]:
    """Places of the labels: in the middle of months and years, of which at most a dozen are named."""
    if grain == "day":
        return {}
    starts = sorted(periods.unique())
    half = pd.Timedelta(days=15 if grain == "month" else 182)
    named = starts[:: -(-len(starts) // 12)]
    return {"values": [_moment(start + half) for start in named]}


def _moment(time: pd.Timestamp) -> alt.DateTime:
    """A day as Vega takes it, in the reader's own time zone, as it takes the days of the data."""
    return alt.DateTime(year=time.year, month=time.month, date=time.day)


def _spacing(moments: pd.Series) -> int:
    """Pixels between bars: none where there are so many that they would be thinner than the gaps."""
    return 1 if moments.nunique() <= 45 else 0


def _in_order(frame: pd.DataFrame, value: str) -> list[str]:
    """Names by size, those that are no groups last."""
    sizes = frame.groupby("name")[value].sum().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in sizes.index]
    return [n for n in names if n not in _GREYS] + [n for n in _GREYS if n in names]


def _colour(names: Sequence[str], *, legend: bool) -> alt.Color:
    meant = {name: _MEANT[name] for name in names if name in _MEANT} | _GREYS
    plain = itertools.cycle(colour for colour in _GROUPS if colour not in meant.values())
    colours = [meant.get(name) or next(plain) for name in names]
    shown = alt.Legend(orient="top", direction="horizontal", columns=3, labelLimit=125, title=None) if legend else None
    return alt.Color("name:N", scale=alt.Scale(domain=list(names), range=colours), legend=shown)
