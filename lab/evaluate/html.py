"""The report as one page: what was measured, by whom, the tables with their intervals, and the pictures."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lab.evaluate.measuring import Measure
from lab.evaluate.statistics import ends
from lab.judges.panel import HEADLINE_AUC

_STYLE = """
:root { --ink: #23231f; --quiet: #6d6d66; --rule: #dedcd5; --good: #1c6b45; --bad: #a3322a; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 92rem; margin: 2rem auto; }
body { padding: 0 1.2rem; color: var(--ink); }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.6rem; border-top: 1px solid var(--rule); }
h2 { padding-top: 1.2rem; } h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; font-size: .85rem; vertical-align: bottom; white-space: normal; }
td { vertical-align: top; } td:first-child, th:first-child { text-align: left; position: sticky; left: 0; }
td:first-child, th:first-child { background: #fff; }
.words td, .words th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.best { font-weight: 700; } small { color: var(--quiet); display: block; font-size: .8rem; }
small.up { color: var(--good); } small.down { color: var(--bad); }
.yes { color: var(--good); } .no { color: var(--bad); }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; } figcaption { color: var(--quiet); }
.curve { display: inline-block; margin-right: 1rem; } .curve img { max-width: min(62rem, 100%); }
.sheet { overflow-x: auto; } .sheet img { max-width: none; } .scroll { overflow-x: auto; }
nav a { margin-right: 1.2rem; } p { max-width: 60rem; }
"""


def page(told: Mapping[str, Any], measures: Mapping[str, Measure]) -> str:
    """Return the report's HTML; its pictures lie beside it."""
    title = f"Evaluation of {escape(told['about']['bundle'])}, {escape(told['about']['preset'])}"
    parts = [_about(told), _reading(), _verdicts(told["verdicts"])]
    parts += [_whole_table(table, measures, told["skin_tone"]) for table in told["tables"]]
    parts += [_judges(told), _gaps(told)]
    body = "\n".join([f"<h1>{title}</h1>", _contents(told), *parts])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>\n{body}\n</body></html>\n"
    )


def _contents(told: Mapping[str, Any]) -> str:
    links = [(table["name"], table["name"]) for table in told["tables"]]
    links = [*links, ("judges", "who judged"), ("left-out", f"left out ({told['skipped_count']})")]
    linked = [f'<a href="#{escape(to)}">{escape(text)}</a>' for to, text in links]
    return f"<nav>{''.join(linked)}</nav>"


def _reading() -> str:
    """Return how the tables are read."""
    return (
        "<p>Under each mean stands its 95 % bootstrap interval over people, each of whom counts once. Below it, its "
        "difference from the table's baseline, pair by pair: <span class=yes>better</span> or <span class=no>worse"
        "</span> where the interval lies on one side of 0, else grey. Bold: the best of a column, the input apart.</p>"
    )


def _whole_table(table: Mapping[str, Any], measures: Mapping[str, Measure], tones: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with its curves, its breakdowns and its sheets of cases."""
    curves = [picture for picture in table["pictures"] if _is_curve(picture, table)]
    sheets = [picture for picture in table["pictures"] if picture not in curves]
    parts = [_table(table, measures), *(_picture(picture, "curve") for picture in curves)]
    parts += [_breakdown(name, rows, measures, table, tones) for name, rows in table["breakdowns"].items()]
    parts += [_picture(picture, "sheet") for picture in sheets]
    return "\n".join(parts)


def _is_curve(picture: Mapping[str, str], table: Mapping[str, Any]) -> bool:
    name = picture["file"].removesuffix(".png")
    return name == table["name"] or ("figure" in name and not name.endswith("cases"))


def _about(told: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(k.replace('_', ' '))}</td><td>{escape(str(v))}</td></tr>" for k, v in told["about"].items()
    )
    note = "Pictures of real people: keep this folder to yourself unless they agreed to its being shown."
    note = "Figures and curves alone: nobody's face or name, no file's name." if told["publishable"] else note
    return f'<div class="words"><table>{rows}</table></div><p>{note}</p>'


def _judges(told: Mapping[str, Any]) -> str:
    """Return who judged, and what each one's word is worth."""
    thirds = list(told["judges"][0]["auc_by_skin_tone"])
    rows = []
    for judge in told["judges"]:
        part = f"has taken part: {judge['part']}" if judge["part"] else "took no part"
        figures = ["" if judge[key] is None else f"{judge[key]:.3f}" for key in ("auc", "same", "strangers")]
        cells = [escape(cell) for cell in (judge["name"], part, "yes" if judge["headline"] else "no")]
        tones = [_auc(judge["auc_by_skin_tone"][third]) for third in thirds]
        rows.append(_row([*cells, *figures, str(judge["photos"]), *tones]))
    heads = ["judge", "part", "headline", "AUC", "same person", "strangers", "photos"]
    heads += [f"AUC, {third}" for third in thirds]
    wanted = f"took no part and has an AUC of {HEADLINE_AUC} or more"
    none = "" if told["headline"] else f"<p>No judge here may carry a headline: that wants one who {wanted}.</p>"
    return f'<h2 id="judges">Who judged</h2>{none}{_framed(heads, rows)}'


def _auc(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "<small>too few photos or people</small>"
    return f"{found['mean']:.3f}<small>{ends(found['low'], found['high'], 3)}, {found['people']} people</small>"


def _verdicts(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the claims beside what was measured."""
    rows = [_row([*(escape(str(v[key])) for key in ("claim", "wanted", "got")), _said(v)]) for v in found]
    return f"<h2>Claims</h2>{_framed(('claim', 'wanted', 'measured', ''), rows)}" if rows else ""


def _said(verdict: Mapping[str, Any]) -> str:
    return '<span class="yes">holds</span>' if verdict["holds"] else '<span class="no">does not hold</span>'


def _gaps(told: Mapping[str, Any]) -> str:
    """Return what is missing, and what was skipped."""
    missing = [f"<li>{escape(name)}: missing, {escape(why)}</li>" for name, why in told["missing_metrics"].items()]
    skipped = [f"<li>{escape(s['name'])}: skipped, {escape(s['reason'])}</li>" for s in told["skipped"]]
    nothing = "" if missing or skipped else "<p>Nothing.</p>"
    count = f"<p>Photos and people skipped: {told['skipped_count']}.</p>" if skipped else ""
    return f'<h2 id="left-out">Left out</h2>{nothing}{count}<ul>{"".join(missing + skipped)}</ul>'


def _table(table: Mapping[str, Any], measures: Mapping[str, Measure]) -> str:
    """Return a table, input by input; under each figure its interval and its gain over the baseline."""
    falls = any(line["fallbacks"] for line in table["lines"])
    heads = ["row", *(_titled(measure) for measure in measures.values()), "seconds a face"]
    heads += ["gate fell"] if falls else []
    parts = [f'<h2 id="{escape(table["name"])}">{escape(table["title"])}</h2>']
    for name in dict.fromkeys(line["input"] for line in table["lines"]):
        here = [line for line in table["lines"] if line["input"] == name]
        best = {key: _best(here, key, measure) for key, measure in measures.items()}
        rows = [_line(line, measures, best, falls) for line in here]
        title = "all of these together" if name == "all" else name
        parts.append(f"<h3>{escape(title)}, {here[0]['pictures']} pictures a row</h3>{_framed(heads, rows)}")
    parts.append(f"<p>Baseline: {escape(table['baseline'])}.{_trained(table['training_seconds'])}</p>")
    return "\n".join(parts)


def _trained(seconds: Mapping[str, float]) -> str:
    """Return how long adapters took to train."""
    if not seconds:
        return ""
    if len(set(shown := [f"{value:.0f} s" for value in seconds.values()])) == 1:
        return f" A training took {shown[0]}."
    return f" A training took: {', '.join(f'{escape(name)} {value:.0f} s' for name, value in seconds.items())}."


def _best(lines: Sequence[Mapping[str, Any]], key: str, measure: Measure) -> float | None:
    """Return the best mean of a column, the input's apart; None where neither way is better."""
    means = [round(float(line["values"][key]["mean"]), measure.digits) for line in lines if line["row"] != "input"]
    if measure.higher is None or len(means) < 2:
        return None
    return max(means) if measure.higher else min(means)


def _line(
    line: Mapping[str, Any], measures: Mapping[str, Measure], best: Mapping[str, float | None], falls: bool
) -> str:
    cells = [escape(line["row"])]
    for key, measure in measures.items():
        mean = round(line["values"][key]["mean"], measure.digits)
        is_best = line["row"] != "input" and mean == best[key]
        cells.append(_figure(line["values"][key], line["gains"].get(key), measure, is_best))
    cells.append("" if line["seconds"] is None else f"{line['seconds']:.2f}")
    cells += [f"{line['fallbacks']} of {line['pictures']}"] if falls else []
    return _row(cells)


def _figure(
    value: Mapping[str, float], gain: Mapping[str, float] | None, measure: Measure, is_best: bool = False
) -> str:
    digits = measure.digits
    interval = ends(value["low"], value["high"], digits)
    mean = f"{value['mean']:.{digits}f}"
    shown = f"{f'<span class=best>{mean}</span>' if is_best else mean}<small>{interval}</small>"
    if gain is None:
        return shown
    difference = f"{gain['mean']:+.{digits}f} ({ends(gain['low'], gain['high'], digits, '+')})"
    return f'{shown}<small class="{_way(gain, measure)}">{difference}</small>'


def _way(gain: Mapping[str, float], measure: Measure) -> str:
    """Say whether a gain is surely for the better or for the worse; of one person nothing is sure."""
    if measure.higher is None or gain["low"] is None or gain["low"] <= 0 <= gain["high"]:
        return "same"
    return "up" if (gain["low"] > 0) == measure.higher else "down"


def _breakdown(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    measures: Mapping[str, Measure],
    table: Mapping[str, Any],
    tones: Sequence[Mapping[str, Any]],
) -> str:
    """Return a row's figures by group; under each its gain over the baseline."""
    keys = list(rows[0]["values"])
    made = [
        _row(
            [
                f"{escape(row['group'])}<small>{row['pictures']} pictures</small>",
                *(_figure(row["values"][key], row["gains"][key], measures[key]) for key in keys),
            ]
        )
        for row in rows
    ]
    heads = [name, *(_titled(measures[key]) for key in keys)]
    title = f"{escape(table['compared_row'])} by {escape(name)}, below its gain over {escape(table['baseline'])}"
    note = _tones(tones) if name == "skin tone" else ""
    return f"<h3>{title}</h3>{note}{_framed(heads, made)}"


def _tones(tones: Sequence[Mapping[str, Any]]) -> str:
    """Return what the thirds are."""
    ranges = "; ".join(f"{t['name']} {t['darkest']:.0f} to {t['lightest']:.0f} ({t['people']} people)" for t in tones)
    return (
        "<p>Thirds of these people by the individual typology angle of their cheeks, in degrees, the median over their "
        f"clean photos: {escape(ranges)}. Nobody's ethnicity is inferred; light and camera move the angle, too. The "
        "last line is the difference of the outer thirds, each resampled on its own.</p>"
    )


def _picture(picture: Mapping[str, str], kind: str) -> str:
    file, caption = escape(picture["file"]), escape(picture["caption"])
    return f'<figure class="{kind}"><figcaption>{caption}</figcaption><img src="{file}" alt="{caption}"></figure>'


def _titled(measure: Measure) -> str:
    arrow = {True: "\u00a0↑", False: "\u00a0↓", None: ""}[measure.higher]
    return f"{escape(measure.title)}{arrow}"


def _row(cells: Any) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _framed(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
