"""A comparison as one HTML page that needs nothing else.

Styles and figures are in it, and there are no scripts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from jinja2 import Environment, StrictUndefined

from mlops_assets.runs.comparison import SECTIONS, Comparison
from mlops_assets.runs.reports.formatting import NOT_MEASURED, delta, number, plain, quantity
from mlops_assets.runs.reports.markdown import TITLES

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #b35900 }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #f0883e } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0 }
tr { border-bottom: 1px solid var(--line) } thead { position: sticky; top: 0; background: Canvas }
td.value { font-variant-numeric: tabular-nums; max-width: 28rem; overflow-wrap: anywhere }
.section { color: GrayText } .better { color: var(--good) } .worse { color: var(--bad) }
code { background: var(--soft); padding: .1rem .3rem; border-radius: .2rem }
img { max-width: 100%; background: white; border: 1px solid var(--line); border-radius: .3rem }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Runs compared</title>
<style>{{ style }}</style>
</head>
<body>
{% macro head(labels) %}<thead><tr>{% for label in labels %}<th></th>{% endfor %}
{% for c in runs %}<th><code>{{ c.short }}</code></th>{% endfor %}</tr></thead>{% endmacro %}
<h1>{{ runs|length }} runs compared</h1>
<div class="wide"><table>{{ head([0]) }}<tbody>
<tr><th>model version</th>{% for c in runs %}<td>{{ c.product }}</td>{% endfor %}</tr>
<tr><th>run</th>{% for c in runs %}<td><code>{{ c.run.run_id }}</code></td>{% endfor %}</tr>
<tr><th>status</th>{% for c in runs %}<td>{{ c.run.status }}</td>{% endfor %}</tr>
<tr><th>data</th>
{% for c in runs %}<td>{{ c.run.dataset }}@{{ c.run.data_version }}</td>{% endfor %}</tr>
<tr><th>started</th>
{% for c in runs %}<td>{{ c.run.started.strftime("%Y-%m-%d %H:%M:%S %Z") }}</td>{% endfor %}</tr>
<tr><th>took</th>
{% for c in runs %}<td>{{ quantity("seconds", c.run.seconds) }}</td>{% endfor %}</tr>
</tbody></table></div>
{% if metrics %}
<h2>Metrics</h2>
<div class="wide"><table>{{ head([0]) }}<tbody>
{% for row in metrics %}<tr><th>{{ row.name }}</th>
{% for value in row.values %}{% set change = row.deltas[loop.index0] %}<td class="value">
{%- if value is none %}–
{%- elif row.best == loop.index0 %}<strong>{{ number(value) }}</strong>{% else %}
{{- number(value) }}{% endif %}
{%- if not loop.first and change is not none %} <span class="{{ judged(row, change) }}">
{{- delta(change) }}</span>
{%- endif %}</td>{% endfor %}</tr>
{% endfor %}
{% if unmeasured %}<tr><th>{{ not_measured }}</th>
{% for names in unmeasured %}<td>{{ names }}</td>{% endfor %}</tr>{% endif %}
</tbody></table></div>
<p>▲ more, ▼ less than the first run; the best is bold where it is known what is better.</p>
{% endif %}
{% for name, source in figures.items() %}
<h2>{{ titles[name] }}</h2>
<img alt="{{ titles[name] }}" src="{{ source }}">
{% endfor %}
<h2>What differs</h2>
{% if differences %}
<div class="wide"><table>{{ head([0, 1]) }}<tbody>
{% for d in differences %}<tr><td class="section">{{ d.section }}</td><th>{{ d.what }}</th>
{% for value in d.values %}<td class="value">{{ quantity(d.what, value) }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% else %}<p>Nothing: neither data nor code, parameters, environment or hardware.</p>{% endif %}
{% if same %}
<details><summary>{{ same|length }} parameter(s) that all have in common</summary><table><tbody>
{% for name, value in same.items() %}<tr><th>{{ name }}</th>
<td class="value">{{ plain(value) }}</td></tr>
{% endfor %}</tbody></table></details>
{% endif %}
</body>
</html>
"""


def html(comparison: Comparison, figures: Mapping[str, bytes]) -> str:
    """Return the page. Whatever a run has recorded is shown as text, never as HTML.

    Args:
        comparison: what to show.
        figures: name → PNG.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    ordered = sorted(
        comparison.differences, key=lambda difference: SECTIONS.index(difference.section)
    )
    return environment.from_string(_PAGE).render(
        style=_STYLE,
        runs=comparison.runs,
        metrics=comparison.metrics,
        differences=ordered,
        same=comparison.same_parameters,
        titles=TITLES,
        number=number,
        delta=delta,
        plain=plain,
        quantity=quantity,
        judged=_judged,
        unmeasured=comparison.unmeasured,
        not_measured=NOT_MEASURED,
        figures={
            name: f"data:image/png;base64,{base64.b64encode(png).decode()}"
            for name, png in figures.items()
        },
    )


def _judged(row: object, change: float) -> str:
    """Return the class of a change: better, worse, or nothing if that is not known."""
    smaller = getattr(row, "smaller_is_better", None)
    if smaller is None or change == 0:
        return ""
    return "better" if (change < 0) == smaller else "worse"
