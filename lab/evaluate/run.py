"""The evaluation: people and tables in, every picture made, measured and summed up. Read this first.

make_manifest -> read_people -> Studio.pictures -> measured -> lines -> report
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.evaluate.fairness import Third, auc_interval, gap, thirds_of
from lab.evaluate.measuring import Measurement, measured
from lab.evaluate.people import EvaluatedPerson, clean_crops
from lab.evaluate.perceptual import Metric
from lab.evaluate.restoring import Picture, Studio
from lab.evaluate.rows import Row, Table
from lab.evaluate.statistics import Interval, Line, grouped, lines
from lab.judges.panel import Judge, Standing, carries_headline, standing


@dataclass(frozen=True)
class MeasuredTable:
    """A table with all that was measured for it."""

    table: Table
    measurements: tuple[Measurement, ...]
    lines: tuple[Line, ...]
    training_seconds: dict[str, float]  # mean over people, of the rows that train


@dataclass(frozen=True)
class Panel:
    """Who judges, and how much each judge's word is worth."""

    judges: tuple[Judge, ...]
    standings: dict[str, Standing]  # on clean photos of the tuning people
    by_tone: dict[str, dict[str, Interval]]  # third of skin tone -> judge -> AUC

    @property
    def headline(self) -> str | None:
        """Return the key of the ID that may be published; None: no judge is good and independent enough."""
        fit = [judge for judge in self.judges if carries_headline(judge, self.standings[judge.name])]
        return f"id.{fit[0].name}" if fit else None


def judge_panel(judges: Sequence[Judge], people: Sequence[EvaluatedPerson]) -> Panel:
    """Let every judge tell the people's own clean photos apart, all together and in thirds of skin tone."""
    crops, names = clean_crops(people)
    standings = {}
    found = thirds_of(people)
    by_tone: dict[str, dict[str, Interval]] = {third.name: {} for third in found}
    for judge in judges:
        embeddings = judge.embed(crops)
        standings[judge.name] = standing(judge, embeddings, names)
        for third in found:
            inside = [i for i, name in enumerate(names) if name in third.people]
            by_tone[third.name][judge.name] = auc_interval(judge, embeddings[inside], [names[i] for i in inside])
    return Panel(tuple(judges), standings, by_tone)


def face_count(tables: Sequence[Table], people: Sequence[EvaluatedPerson]) -> int:
    """Return how many pictures an evaluation makes or finds made."""
    trials = sum(len(person.trials) for person in people)
    return sum(len(table.rows) * len(table.inputs) * trials for table in tables)


def evaluated(
    studio: Studio,
    table: Table,
    people: Sequence[EvaluatedPerson],
    judges: Sequence[Judge],
    perceptual: Mapping[str, Metric],
) -> MeasuredTable:
    """Make and measure every picture of a table."""
    measurements: list[Measurement] = []
    seconds: dict[str, list[float]] = {}
    for i, person in enumerate(people):
        for row, pictures in pictures_of(studio, table, people, i):
            measurements += measured(row.name, person, pictures, judges, perceptual)
            if row.who == "own" and (took := studio.training_seconds(row, person)) is not None:
                seconds.setdefault(row.name, []).append(took)
    names = [row.name for row in _rows(studio, table, people)]
    return MeasuredTable(
        table,
        tuple(measurements),
        tuple(lines(measurements, names, table.inputs, table.baseline)),
        {name: sum(values) / len(values) for name, values in seconds.items()},
    )


def pictures_of(
    studio: Studio, table: Table, people: Sequence[EvaluatedPerson], number: int
) -> Iterator[tuple[Row, dict[tuple[str, str], Picture]]]:
    """Make every picture of one of the people, row by row; the next one's adapter serves as another person's."""
    other = people[(number + 1) % len(people)]
    for row in _rows(studio, table, people):
        yield row, studio.pictures(row, people[number], other, table.inputs)


def breakdowns(
    done: MeasuredTable, row: str, panel: Panel, found: Sequence[Third], labels: Mapping[str, str]
) -> dict[str, list[dict[str, object]]]:
    """Return a row's figures by fault of the input, by skin tone, and by the caller's labels of people and photos."""
    third_of = {person: third.name for third in found for person in third.people}
    groups: dict[str, Callable[[Measurement], Sequence[str]]] = {
        "fault of the input": lambda m: m.words,
        "skin tone": lambda m: [third_of[m.person]] if m.person in third_of else [],
        "label": lambda m: [labels[name] for name in (m.photo, m.person) if name in labels][:1],
    }
    baseline = done.table.baseline
    assert baseline is not None, f"table {done.table.name} has no row to compare with"
    keys = [f"id.{judge.name}" for judge in panel.judges] + ["psnr"]
    tables = {name: grouped(done.measurements, row, baseline, keys, group) for name, group in groups.items()}
    if found:
        mine, base = ([m for m in done.measurements if m.row == wanted] for wanted in (row, baseline))
        order = [third.name for third in found]
        tables["skin tone"].sort(key=lambda line: order.index(line["group"]))
        tables["skin tone"].append(gap(mine, base, keys, found))
    return {name: table for name, table in tables.items() if table}


def _rows(studio: Studio, table: Table, people: Sequence[EvaluatedPerson]) -> list[Row]:
    """Return those of the table's rows that can be made; another person's adapter needs another person."""
    rows = [row for row in table.rows if studio.can_make(row)]
    return [row for row in rows if row.who != "other" or len(people) > 1]
