"""The report as one page: what was measured, by whom, the tables with their intervals, and the pictures."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lab.evaluate.measuring import Measure

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #262622; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
small { color: #777; display: block; } img { max-width: 100%; } .scroll { overflow-x: auto; }
"""


def page(told: Mapping[str, Any], measures: Mapping[str, Measure], pictures: Sequence[str]) -> str:
    """Return the report's HTML; `pictures` are files beside it, named after their table."""
    parts = [_about(told["about"]), _judges(told), _verdicts(told["verdicts"]), _gaps(told)]
    for table in told["tables"]:
        parts.append(_table(table, measures))
        parts += [_breakdown(name, rows, measures) for name, rows in table["breakdowns"].items()]
        parts += [_picture(name) for name in pictures if name.removesuffix(".png").split(" ")[0] == table["name"]]
    body = "\n".join(parts)
    title = f"Evaluation of {escape(told['about']['bundle'])}, {escape(told['about']['preset'])}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _about(about: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(k.replace('_', ' '))}</td><td>{escape(str(v))}</td></tr>" for k, v in about.items()
    )
    note = "Pictures of real people: keep this folder to yourself unless they agreed to its being shown."
    return f"<table>{rows}</table><p>{note}</p>"


def _judges(told: Mapping[str, Any]) -> str:
    """Return who judged, and what each one's word is worth."""
    rows = []
    for judge in told["judges"]:
        part = f"has taken part: {judge['part']}" if judge["part"] else "took no part"
        figures = [f"{judge[key]:.3f}" for key in ("auc", "same", "strangers")]
        tones = ", ".join(f"{third} {auc:.3f}" for third, auc in judge["auc_by_skin_tone"].items())
        cells = [judge["name"], part, *figures, str(judge["photos"]), tones, "yes" if judge["headline"] else "no"]
        rows.append(_row(map(escape, cells)))
    heads = ("judge", "part", "AUC", "same person", "strangers", "photos", "AUC by skin tone", "headline")
    none = "" if told["headline"] else "<p>No judge here is good and independent enough to carry a headline.</p>"
    return f"<h2>Judges</h2>{none}{_framed(heads, rows)}"


def _verdicts(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the claims beside what was measured."""
    rows = [_row([escape(str(v)) for v in (v["claim"], v["wanted"], v["got"], _said(v))]) for v in found]
    return f"<h2>Claims</h2>{_framed(('claim', 'wanted', 'measured', ''), rows)}" if rows else ""


def _said(verdict: Mapping[str, Any]) -> str:
    return "holds" if verdict["holds"] else "does not hold"


def _gaps(told: Mapping[str, Any]) -> str:
    """Return what is missing, and what was skipped."""
    missing = [f"<li>{escape(name)}: missing, {escape(why)}</li>" for name, why in told["missing_metrics"].items()]
    skipped = [f"<li>{escape(s['name'])}: skipped, {escape(s['reason'])}</li>" for s in told["skipped"]]
    return f"<h2>Left out</h2><ul>{''.join(missing + skipped)}</ul>" if missing or skipped else ""


def _table(table: Mapping[str, Any], measures: Mapping[str, Measure]) -> str:
    """Return a table, input by input; under each figure its interval and its gain over the baseline."""
    heads = ["row", *(_titled(measure) for measure in measures.values()), "seconds a face", "gate fell"]
    parts = [f"<h2>{escape(table['title'])}</h2>"]
    for name in dict.fromkeys(line["input"] for line in table["lines"]):
        here = [line for line in table["lines"] if line["input"] == name]
        rows = [_line(line, measures) for line in here]
        parts.append(f"<h3>{escape(name)}, {here[0]['pictures']} pictures</h3>{_framed(heads, rows)}")
    trained = ", ".join(f"{escape(k)} {v:.0f} s" for k, v in table["training_seconds"].items())
    parts.append(f"<p>Training: {trained}.</p>" if trained else "")
    return "\n".join(parts)


def _line(line: Mapping[str, Any], measures: Mapping[str, Measure]) -> str:
    cells = [escape(line["row"])]
    for key, measure in measures.items():
        cells.append(_figure(line["values"][key], line["gains"].get(key), measure.digits))
    seconds = "" if line["seconds"] is None else f"{line['seconds']:.2f}"
    cells += [seconds, f"{line['fallbacks']} of {line['pictures']}"]
    return _row(cells)


def _figure(value: Mapping[str, float], gain: Mapping[str, float] | None, digits: int) -> str:
    interval = f"{value['low']:.{digits}f} to {value['high']:.{digits}f}"
    shown = f"{value['mean']:.{digits}f}<small>{interval}</small>"
    if gain is None:
        return shown
    low, high = (f"{gain[key]:+.{digits}f}" for key in ("low", "high"))
    return f"{shown}<small>{gain['mean']:+.{digits}f} ({low} to {high})</small>"


def _breakdown(name: str, rows: Sequence[Mapping[str, Any]], measures: Mapping[str, Measure]) -> str:
    keys = list(rows[0]["values"])
    made = [
        _row(
            [
                escape(f"{row['group']} ({row['pictures']})"),
                *(_figure(row["values"][key], row["gains"][key], measures[key].digits) for key in keys),
            ]
        )
        for row in rows
    ]
    return f"<h3>By {escape(name)}</h3>{_framed([name, *(_titled(measures[key]) for key in keys)], made)}"


def _picture(name: str) -> str:
    return f'<h3>{escape(name.removesuffix(".png"))}</h3><img src="{escape(name)}" alt="{escape(name)}">'


def _titled(measure: Measure) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[measure.higher]
    return f"{escape(measure.title)}{arrow}"


def _row(cells: Any) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _framed(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
