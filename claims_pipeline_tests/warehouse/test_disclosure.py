"""No number of a report tells of too few persons, and none can be computed from the others."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claims_pipeline.feeds import all_feeds, all_reports, reports_on
from claims_pipeline.feeds.reports import Report, check_reports
from claims_pipeline.warehouse.bi.disclosure import SMALL, Cell, Part, Rules, protect, rounded
from claims_pipeline_tests.warehouse.attack import Attacker, combinations, members

JUNE = dt.date(2026, 6, 1)
SMALLEST = 11
RULES = Rules(SMALLEST, b"secret", "things", "report")


@dataclass(frozen=True)
class Thing:
    """Something that is counted: when, in which groups of one report and of another, whose."""

    day: dt.date
    first: tuple[str, ...]
    second: tuple[str, ...]
    person: int
    amount: Decimal = Decimal(1)


def cells_of(things: Sequence[Thing], *, second: bool = False, by_day: bool = True) -> list[Cell]:
    """What the facts of a report are, as SQL counts them."""
    grouped: dict[tuple[dt.date, dt.date | None, tuple[str, ...]], list[Thing]] = defaultdict(list)
    for thing in things:
        labels = thing.second if second else thing.first
        grouped[thing.day.replace(day=1), thing.day if by_day else None, labels].append(thing)
    cells = []
    for (month, day, labels), group in grouped.items():
        persons: dict[int, Decimal] = defaultdict(Decimal)
        for thing in group:
            persons[thing.person] += abs(thing.amount)
        named = {person: (amount,) for person, amount in persons.items()} if len(persons) < SMALLEST else None
        cells.append(
            Cell(
                month, day, labels, len(persons), len(group), (sum((t.amount for t in group), Decimal(0)),), named,
                (sum(persons.values(), Decimal(0)),), (max(persons.values()),),
            )
        )  # fmt: skip
    return cells


def cell(*labels: str, people: int, day: dt.date | None = None, month: dt.date = JUNE, first: int = 0) -> Cell:
    """So many persons, each with one thing worth 1; `first` is the number of the first of them."""
    persons = {first + number: (Decimal(1),) for number in range(people)}
    known = persons if people < SMALLEST else None
    return Cell(month, day, labels, people, people, (Decimal(people),), known, (Decimal(people),), (Decimal(1),))


def small(name: str, people: int, smallest: int) -> Cell:
    """A cell of so many persons, all its own, for another smallest cell than that of most tests."""
    persons = {hash((name, number)): () for number in range(people)} if people < smallest else None
    return Cell(JUNE, None, (name,), people, people, (), persons)


def told(parts: Sequence[Part]) -> dict[tuple[str, ...], int]:
    """Labels and numbers, where they are of one period."""
    return {part.labels: part.number for part in parts}


@st.composite
def worlds(draw: st.DrawFn) -> list[Thing]:
    """Two months and some days, groups of most different sizes, persons with one thing each."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    months = draw(st.integers(1, 3))
    things: list[Thing] = []
    weights = [chance.choice([1, 1, 3, 10, 40]) for _ in range(12)]
    for month in range(months):
        for number in range(chance.choice([2, 8, 15, 60, 150])):
            day = dt.date(2026, 5 + month, chance.choice([1, 1, 2, 3]))
            first = (chance.choices("AB", weights[:2])[0], chance.choices("xyz", weights[2:5])[0])
            second = (chance.choices("PQRS", weights[5:9])[0],)
            things.append(Thing(day, first, second, person=month * 1000 + number))
    return things


def naive(cells: Sequence[Cell]) -> list[tuple[set[tuple[object, tuple[str, ...]]], int]]:
    """What suppression of each small count by itself publishes, with totals of each day."""
    totals: Counter[object] = Counter()
    for one in cells:
        totals[one.day] += one.number
    everything = combinations(cells)
    rows = [({name for name in everything if name[0] == day}, number) for day, number in totals.items()]
    shown: list[tuple[set[tuple[object, tuple[str, ...]]], int]] = [
        ({(one.day, one.labels)}, one.number) for one in cells if one.people >= SMALLEST
    ]
    return rows + shown


class TestAnAttackerWithAllRows:
    """Every hidden count, and every hidden count of two reports crossed, stays uncertain."""

    @given(worlds())
    @settings(max_examples=40)
    def test_cannot_tell_a_hidden_count_of_one_report(self, things: list[Thing]) -> None:
        cells = cells_of(things)
        parts = protect(cells, RULES)
        known = members(cells, parts)
        attacker = Attacker(combinations(cells), [(known[place], part.number) for place, part in enumerate(parts)])
        for one in cells:
            if parts and one.people < SMALLEST:
                least, most = attacker.range_of([(one.day, one.labels)])
                assert most - least >= SMALLEST

    @given(worlds())
    @settings(max_examples=25)
    def test_cannot_tell_one_of_two_reports_that_count_the_same_things(self, things: list[Thing]) -> None:
        first, second = cells_of(things), cells_of(things, second=True, by_day=False)
        by_first, by_second = protect(first, RULES), protect(second, RULES)
        both = [
            (day, one, other)
            for day, one in combinations(first)
            for other in sorted({cell.labels for cell in second})
        ]  # fmt: skip
        rows: list[tuple[set[object], int]] = []
        first_members, second_members = members(first, by_first), members(second, by_second)
        for place, part in enumerate(by_first):
            rows.append(({name for name in both if name[:2] in first_members[place]}, part.number))
        for place, part in enumerate(by_second):
            months = {cell.month for cell in part.cells}
            groups = {labels for _, labels in second_members[place]}
            rows.append(({n for n in both if n[0].replace(day=1) in months and n[2] in groups}, part.number))  # type: ignore[attr-defined]  # the first column is the day
        attacker = Attacker(both, rows)
        actual = Counter((thing.day, thing.first, thing.second) for thing in things)
        hidden_first = [{(c.day, c.labels)} for c in first if c.people < SMALLEST and by_first]
        for hidden in hidden_first:
            least, most = attacker.range_of([name for name in both if name[:2] in hidden])
            assert least < most
        for one in second:
            if one.people < SMALLEST and by_second:
                least, most = attacker.range_of(
                    [n for n in both if n[0].replace(day=1) == one.month and n[2] == one.labels]  # type: ignore[attr-defined]  # the first column is the day
                )
                assert least < most
        for name in sorted(actual, key=repr)[:8]:  # a count of both reports crossed, which neither shows
            if actual[name] < SMALLEST and len(by_first) > 1 and len(by_second) > 1:
                least, most = attacker.range_of([name])
                assert least < most

    def test_does_tell_a_count_that_was_hidden_by_itself_below_a_total(self) -> None:
        """The attack finds what there is to find: small counts hidden one by one, with the day's total beside them."""
        cells = [cell("A", people=40, day=JUNE), cell("B", people=3, day=JUNE), cell("C", people=25, day=JUNE)]
        attacker = Attacker(combinations(cells), naive(cells))
        assert attacker.range_of([(JUNE, ("B",))]) == (3, 3)

    def test_does_tell_it_from_two_reports_that_share_a_group(self) -> None:
        """Which is why such reports are refused: by day the group is hidden on one day, by month its total is told."""
        second = JUNE.replace(day=2)
        days = [cell("A", people=30, day=JUNE), cell("B", people=20, day=JUNE), cell("A", people=4, day=second)]
        days += [cell("B", people=30, day=second)]
        parts = protect(days, RULES)
        known = members(days, parts)
        rows: list[tuple[set[tuple[object, tuple[str, ...]]], int]] = [
            (known[place], part.number) for place, part in enumerate(parts)
        ]
        month = [({name for name in combinations(days) if name[1] == ("A",)}, 34)]
        assert Attacker(combinations(days), rows).range_of([(second, ("A",))]) != (4, 4)
        assert Attacker(combinations(days), rows + month).range_of([(second, ("A",))]) == (4, 4)


class TestAReaderWhoKnowsTheRules:
    """Publishing is reversed by trying every world: what else could have led to the same rows?"""

    def test_cannot_tell_a_hidden_count_by_what_was_not_hidden(self) -> None:
        """Worlds of three groups with up to 14 persons each and a smallest cell of 4, under many secrets."""
        smallest, most = 4, 14
        possible: dict[tuple[tuple[tuple[str, ...], int], ...], list[tuple[int, ...]]] = defaultdict(list)
        secrets = [Rules(smallest, bytes([number]), "things", "report") for number in range(12)]
        for world in itertools.product(range(most), repeat=3):
            cells = [small(name, people, smallest) for name, people in zip("ABC", world, strict=True) if people]
            for rows in {tuple(sorted(told(protect(cells, rules)).items())) for rules in secrets}:
                possible[rows].append(world)
        for rows, worlds in possible.items():
            shown = {labels[0] for labels, _ in rows}
            total = sum(number for _, number in rows)
            for place, name in enumerate("ABC"):
                hidden = {world[place] for world in worlds}
                if name not in shown and hidden != {0} and min(hidden) < smallest and total < most:
                    assert len(hidden) >= smallest - 1, (rows, name)

    def test_could_where_always_the_smallest_is_hidden_besides(self) -> None:
        """The case that led to the secret: beside A = 11, B and C that are 20 together were both 10."""
        draws = {
            tuple(sorted(told(protect([cell("A", people=11), cell("B", people=9), cell("C", people=11, first=50)],
                                      Rules(SMALLEST, bytes([number]), "things", "report"))).items()))
            for number in range(20)
        }  # fmt: skip
        assert ((("(small groups)",), 20), (("A",), 11)) in draws
        assert ((("(small groups)",), 20), (("C",), 11)) in draws

    def test_the_smaller_is_hidden_more_often_than_the_larger(self) -> None:
        cells = [cell("A", people=20), cell("B", people=200), cell("C", people=3)]
        hidden = Counter(
            next(iter({"A", "B"} - {labels[0] for labels in told(protect(cells, Rules(11, bytes([n, m]), "t", "r")))}))
            for n in range(20)
            for m in range(20)
        )
        assert hidden["A"] > 5 * hidden["B"] > 0

    def test_one_secret_gives_one_answer(self) -> None:
        cells = [cell("A", people=20), cell("B", people=30), cell("C", people=3)]
        assert len({tuple(told(protect(order, RULES)).items()) for order in (cells, cells) for _ in range(5)}) == 1


class TestParts:
    """What is published of whatever there is."""

    @given(worlds())
    def test_none_tells_of_too_few_persons_and_all_add_up(self, things: list[Thing]) -> None:
        for cells in (cells_of(things), cells_of(things, second=True, by_day=False)):
            parts = protect(cells, RULES)
            persons = {t.person for t in things}
            assert (sum(part.number for part in parts) == len(things)) if len(persons) >= SMALLEST else not parts
            assert all(len(_persons(things, part)) >= SMALLEST for part in parts)

    @given(worlds(), st.integers(2, 6))
    def test_persons_with_several_things_are_counted_once(self, things: list[Thing], times: int) -> None:
        repeated = [Thing(t.day, t.first, t.second, t.person // times) for t in things]
        parts = protect(cells_of(repeated), RULES)
        assert all(len(_persons(repeated, part)) >= SMALLEST for part in parts)

    @given(worlds())
    def test_time_is_cut_alike_for_all_reports_of_the_same_things(self, things: list[Thing]) -> None:
        cuts = []
        for cells in (cells_of(things, by_day=False), cells_of(things, second=True, by_day=False)):
            months: dict[dt.date, set[object]] = defaultdict(set)
            for part in protect(cells, RULES):
                for one in part.cells:
                    months[one.month].add((part.grain, part.period))
            cuts.append(months)
        assert cuts[0] == cuts[1]

    @given(worlds())
    def test_the_order_of_cells_does_not_matter(self, things: list[Thing]) -> None:
        cells = cells_of(things)
        names = [
            sorted((part.grain, str(part.period), part.labels, part.number) for part in protect(order, RULES))
            for order in (cells, cells[::-1])
        ]
        assert names[0] == names[1]

    def test_large_groups_are_told_as_they_are(self) -> None:
        assert told(protect([cell("A", people=11), cell("B", people=12)], RULES)) == {
            ("A",): 11,
            ("B",): 12,
        }

    def test_small_groups_are_told_together(self) -> None:
        cells = [cell("A", people=50), cell("B", people=6), cell("C", people=7, first=100)]
        assert told(protect(cells, RULES)) == {("A",): 50, (SMALL,): 13}

    def test_a_small_group_that_is_alone_hides_another_beside_it(self) -> None:
        cells = [cell("A", people=50), cell("B", people=20), cell("C", people=1)]
        assert told(protect(cells, RULES)) in ({("A",): 50, (SMALL,): 21}, {("B",): 20, (SMALL,): 51})

    def test_small_groups_of_the_same_persons_are_not_enough_together(self) -> None:
        cells = [cell("A", people=50), cell("B", people=10), cell("C", people=10)]
        assert told(protect(cells, RULES)) == {(SMALL,): 70}

    def test_the_last_group_is_merged_first(self) -> None:
        cells = [cell("A", "x", people=30), cell("A", "y", people=6), cell("A", "z", people=8, first=50)]
        cells += [cell("B", "x", people=40)]
        assert told(protect(cells, RULES)) == {("A", "x"): 30, ("A", SMALL): 14, ("B", "x"): 40}

    def test_a_group_that_is_too_small_as_a_whole_is_merged_with_others(self) -> None:
        cells = [cell("A", "x", people=3), cell("A", "y", people=2, first=10), cell("B", "x", people=40)]
        cells += [cell("B", "y", people=20)]
        assert told(protect(cells, RULES)) == {("B", "x"): 40, (SMALL, SMALL): 25}

    def test_a_small_day_is_told_with_its_month(self) -> None:
        cells = [cell("A", people=40, day=JUNE), cell("A", people=20, day=JUNE.replace(day=2))]
        cells += [cell("A", people=2, day=JUNE.replace(day=3))]
        parts = protect(cells, RULES)
        assert sorted((part.grain, part.number) for part in parts) in (
            [("day", 40), ("month", 22)],
            [("day", 20), ("month", 42)],
        )

    def test_a_small_month_is_told_with_another_of_its_year(self) -> None:
        months = {4: 50, 5: 20, 6: 3}
        cells = [cell("A", people=n, month=dt.date(2026, month, 1)) for month, n in months.items()]
        parts = protect(cells, RULES)
        assert {(part.grain, part.number) for part in parts} in (
            {("year", 23), ("month", 50)},
            {("year", 53), ("month", 20)},
        )

    def test_a_small_month_of_a_year_without_others_is_told_with_all_time(self) -> None:
        cells = [cell("A", people=3, month=dt.date(2024, 3, 1)), cell("A", people=30)]
        cells += [cell("A", people=20, month=dt.date(2026, 7, 1))]
        parts = protect(cells, RULES)
        assert {(part.grain, part.number) for part in parts} in (
            {("all", 23), ("month", 30)},
            {("all", 33), ("month", 20)},
        )

    def test_too_few_persons_in_all_are_not_told_of(self) -> None:
        assert protect([cell("A", people=4), cell("B", people=6)], RULES) == []

    def test_nothing_is_told_of_nothing(self) -> None:
        assert protect([], RULES) == []

    def test_groups_are_not_needed(self) -> None:
        assert told(protect([cell(people=30)], RULES)) == {(): 30}


class TestAmounts:
    """Sums beside counts."""

    def test_are_told_where_no_one_has_most_of_them(self) -> None:
        (part,) = protect([cell("A", people=20)], RULES)
        assert part.sums == (Decimal(20),)

    def test_are_not_told_where_one_person_has_more_than_half(self) -> None:
        rich = [Thing(JUNE, ("A",), (), person, Decimal(1)) for person in range(20)]
        rich += [Thing(JUNE, ("A",), (), 99, Decimal(21))]
        (part,) = protect(cells_of(rich), RULES)
        assert (part.number, part.sums) == (21, (None,))

    def test_are_not_told_where_one_person_has_them_in_several_groups(self) -> None:
        things = [Thing(JUNE, ("A" if person < 6 else "B",), (), person, Decimal(1)) for person in range(12)]
        things += [Thing(JUNE, (name,), (), 99, Decimal(8)) for name in "AB"]
        (part,) = protect(cells_of(things), RULES)
        assert (part.labels, part.sums) == ((SMALL,), (None,))


class TestRounding:
    """At random to base 3, the same each time."""

    def test_is_to_a_multiple_at_most_two_away(self) -> None:
        for number in range(6, 60):
            shown = rounded(number, base=3, seed=b"s", name="a")
            assert shown % 3 == 0
            assert abs(shown - number) <= 2

    def test_keeps_the_mean(self) -> None:
        shown = [rounded(7, base=3, seed=b"s", name=str(name)) for name in range(30_000)]
        assert sum(shown) / len(shown) == pytest.approx(7, abs=0.05)

    def test_gives_one_answer(self) -> None:
        assert len({rounded(8, base=3, seed=b"s", name="a") for _ in range(10)}) == 1

    def test_depends_on_the_secret(self) -> None:
        assert len({rounded(8, base=3, seed=bytes([n]), name="a") for n in range(40)}) == 2

    def test_is_left_out_with_base_one(self) -> None:
        assert rounded(8, base=1, seed=b"s", name="a") == 8


class TestDeclarations:
    """Reports that would give each other away are refused at import."""

    def test_ours_are_sound(self) -> None:
        assert len({report.name for report in all_reports()}) == len(all_reports()) > 10

    @pytest.mark.parametrize("grain", ["day", "month"])
    def test_two_of_one_population_may_not_share_a_group(self, grain: str) -> None:
        one, *_ = (report for report in all_reports() if report.name == "submissions_by_mailing_state")
        other = Report(
            one.sender, "again", "x", population="submissions", counted="n", reads=(), facts="", groups=one.groups,
            grain=grain,  # type: ignore[arg-type]  # parametrised
        )  # fmt: skip
        with pytest.raises(ValueError, match="could be recovered"):
            check_reports([one, other])

    def test_two_of_one_population_may_not_both_tell_days(self) -> None:
        one, *_ = (report for report in all_reports() if report.grain == "day")
        other = Report(one.sender, "again", "x", one.population, "n", (), "", grain="day")
        with pytest.raises(ValueError, match="by day"):
            check_reports([one, other])

    def test_a_report_is_left_out_where_its_feeds_are(self) -> None:
        feeds = [feed for feed in all_feeds() if feed.dataset == "form526_submissions"]
        assert [report.name for report in reports_on(feeds)] == ["submissions_by_mailing_state"]

    @pytest.mark.parametrize("report", all_reports(), ids=lambda report: report.name)
    def test_no_group_is_personal(self, report: Report) -> None:
        """Groups are columns that an analyst may see, or computed ones; never a token."""
        stored = {c.name: c for feed in all_feeds() if feed.sender == report.sender for c in feed.stored}
        assert not [name for name in report.groups if name in stored and stored[name].pii > 2]
        assert not [name for name in report.groups if name.endswith(("_token", "_key"))]


def _persons(things: Sequence[Thing], part: Part) -> set[int]:
    cells = {(one.month, one.day, one.labels) for one in part.cells}
    return {
        thing.person
        for thing in things
        for labels in (thing.first, thing.second)
        for day in (thing.day, None)
        if (thing.day.replace(day=1), day, labels) in cells
    }
