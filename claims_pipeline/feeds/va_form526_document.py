"""What the stored 526 form (`form_json`) says: values of columns that a dump does not hold itself. Pure.

The layout is vets-api's (feeds.md 1.5). The form embeds Social Security numbers, names and bank data: it is parsed for
these values and then dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claims_pipeline.feeds.contract import Document

Form = Any
"""The parsed `form526.form526` object: whatever JSON a sender writes."""


def _form(value: Callable[[Form], object]) -> Callable[[Any], object]:
    return lambda document: value(document["form526"]["form526"])


def _attached(*parts: str) -> Callable[[Any], object]:
    return lambda document: any(document.get(part) for part in parts)


def _contentions(action: str | None = None) -> Callable[[Any], object]:
    """How many contentions are claimed, nested secondary ones included; of one action, or of all."""

    def count(form: Form) -> int:
        top = form.get("disabilities", [])
        actions = [one["disabilityActionType"] for one in top]
        actions += ["SECONDARY" for one in top for _ in one.get("secondaryDisabilities", [])]
        return sum(1 for one in actions if action in (None, one))

    return _form(count)


def _housing(form: Form) -> str:
    homelessness = form["veteran"].get("homelessness", {})
    if "currentlyHomeless" in homelessness:
        return "homeless"
    return "atRisk" if "homelessnessRisk" in homelessness else "no"


def _address(part: str) -> Callable[[Any], object]:
    return _form(lambda form: form["veteran"]["currentMailingAddress"][part])


FORM = Document(
    column="form_json",
    holds={
        "started_form_version": _form(lambda form: form["startedFormVersion"]),
        "bdd_qualified": _form(lambda form: form["bddQualified"]),
        "standard_claim": _form(lambda form: form["standardClaim"]),
        "claim_submission_source": _form(lambda form: form["claimSubmissionSource"]),
        "disability_count": _contentions(),
        "new_count": _contentions("NEW"),
        "increase_count": _contentions("INCREASE"),
        "secondary_count": _contentions("SECONDARY"),
        "upload_count": lambda document: len(document.get("form526_uploads") or []),
        "has_form4142": _attached("form4142"),
        "has_form0781": _attached("form0781", "form0781v2"),
        "has_form8940": _attached("form8940"),
        "has_toxic_exposure": _form(lambda form: bool(form.get("toxicExposure"))),
        "homeless_or_at_risk": _form(_housing),
        "is_va_employee": _form(lambda form: form["veteran"]["currentlyVAEmployee"]),
        "service_branches": _form(
            lambda form: [period["serviceBranch"] for period in form["serviceInformation"]["servicePeriods"]]
        ),
        "mailing_state": _address("state"),
        "mailing_zip": _address("zipFirstFive"),
        "country": _address("country"),
    },
)
