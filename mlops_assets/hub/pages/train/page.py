"""The page that starts a training or a sweep of a model."""

from __future__ import annotations

from dataclasses import replace

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from mlops_assets.errors import NotFound
from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.frame import page, problem
from mlops_assets.hub.pages.parts.cards import card, empty, facts, title
from mlops_assets.hub.pages.parts.references import run_link
from mlops_assets.hub.pages.parts.texts import size, state, text, when
from mlops_assets.hub.pages.train.entry import Entry
from mlops_assets.hub.pages.train.preview import StartCard
from mlops_assets.hub.pages.train.rows import Row, described, rows
from mlops_assets.hub.views.addresses import TRAIN, train_path
from mlops_assets.hub.views.training.draft import Draft
from mlops_assets.hub.views.training.fields import FormField
from mlops_assets.hub.views.training.form import DataChoice, TrainingForm, quality_of, training_form
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry.runs.remarks import MAX_NOTE

_SELECT = "outlined dense options-dense"


@page(TRAIN, "Start training")
async def start_training() -> None:
    """Build the page."""
    title("Start training")
    query = ui.context.client.request.query_params
    draft = Draft.read(query.multi_items())
    models = _models(draft.data)
    name = query.get("model") or (models[0] if len(models) == 1 else "")
    if not hub().models.models:
        empty(
            "The project declares no model yet.",
            "dg scaffold defs mlops_assets.components.TrainedModel NAME --dataset DATASET",
        )
        return
    declared = hub().models.get(name) if name else None
    if declared is None:
        if name:
            problem(f"The project declares no model {name!r}; it declares {', '.join(models)}.")
        with card("Model"):
            _choose_model("", models, draft.data)
        return
    form = await _read_form(declared, draft, query.get("from"))
    _build(Entry.begin(form, declared, _with_source(form, draft)))


async def _read_form(
    declared: ModelSpecification, draft: Draft, source: str | None
) -> TrainingForm:
    try:
        return await read(training_form, declared, draft.data or None, source)
    except NotFound as error:
        # the rest of what was entered is still good
        problem(f"{error}. The form has the newest data version and the declared values instead.")
        return await read(training_form, declared)


def _with_source(form: TrainingForm, draft: Draft) -> Draft:
    """Return a draft with the values of the run that it is from; those of the draft come first."""
    if form.source is None:
        return draft
    fields = {field.name: field for field in form.parameters}
    texts = {
        name: fields.get(name, FormField.of_any(name)).text(value)
        for name, value in form.values.items()
    }
    return replace(
        draft,
        data=form.selected or "",
        parameters={**texts, **draft.parameters},
        seed=draft.seed or (str(form.source_seed) if form.source_seed != form.seed else ""),
    )


def _build(entry: Entry) -> None:
    form = entry.form
    with ui.element("div").classes(
        "grid grid-cols-1 lg:grid-cols-[minmax(0,1fr)_400px] gap-x-4 items-start"
    ):
        with ui.element("div").classes("min-w-0"):
            with card("Model and data", form.description):
                _choose_model(form.model, sorted(hub().models.models), "")
                _choose_data(entry)
                if form.source:
                    with ui.element("p").classes("hub-note"):
                        text("span", "The values are those of run ")
                        run_link(form.source)
            with card("Parameters", f"of {form.trainer}"):
                _choose_sweep(entry)
                _parameters(entry)
                _seed(entry)
            _sweep(entry)
            with card("Compute", "As the model declares it; a training waits until it is free."):
                rows(entry, "compute", form.compute)
            with card("Tags and note"):
                _labels(entry)
        with ui.element("div").classes("min-w-0 lg:sticky lg:top-[64px]"):
            StartCard(entry)


def _models(data: str) -> list[str]:
    """Return the declared models, those of the dataset of a reference if there is one."""
    declared = hub().models.models
    dataset, at, _ = data.partition("@")
    own = [name for name, model in declared.items() if at and model.dataset == dataset]
    return sorted(own or declared)


def _choose_model(name: str, models: list[str], data: str) -> None:
    def chosen(event: ValueChangeEventArguments[str]) -> None:
        ui.navigate.to(train_path(event.value, data))

    select = ui.select(models, label="Model", value=name or None, on_change=chosen)
    select.props(_SELECT).classes("w-full")
    for left_out, reason in hub().models.left_out.items():
        text("p", f"{left_out} is declared wrongly: {reason}", "hub-note")


def _choose_data(entry: Entry) -> None:
    form = entry.form
    if form.selected is None:
        empty(f"{form.dataset} has no version to train on.", f"mlops dataset commit {form.dataset}")
        return
    choices = {choice.version: choice for choice in form.data}

    async def chosen(event: ValueChangeEventArguments[str]) -> None:
        entry.choose(event.value)
        quality = await read(quality_of, form.dataset, event.value)
        details.clear()
        with details:
            _describe(choices[event.value], quality.state, quality.findings)

    labels = {
        choice.version: " · ".join([choice.version, *choice.tags, when(choice.created)])
        for choice in form.data
    }
    select = ui.select(labels, label=f"Version of {form.dataset}", value=form.selected)
    select.on_value_change(chosen).props(_SELECT).classes("w-full")
    with ui.element("div") as details:
        quality = form.quality
        if quality is not None:
            _describe(choices[form.selected], quality.state, quality.findings)


def _describe(choice: DataChoice, quality: str, findings: list[str]) -> None:
    facts(
        {
            "Committed": when(choice.created),
            "Samples": f"{choice.samples:,} in {size(choice.size)}",
            "Tags": ", ".join(choice.tags) or None,
            "Quality": lambda: _quality(quality, findings),
        }
    )


def _quality(name: str, findings: list[str]) -> None:
    with ui.element("div").classes("flex flex-wrap gap-2"):
        state(name)
        if findings:
            with ui.element("details").classes("min-w-0"):
                count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
                text("summary", count, "cursor-pointer list-item")
                with ui.element("ul").classes("list-disc pl-5"):
                    for finding in findings:
                        text("li", finding)


def _choose_sweep(entry: Entry) -> None:
    radio = ui.radio({False: "One run", True: "Sweep over parameters"}, value=entry.draft.sweep)
    radio.on_value_change(lambda event: entry.set(sweep=event.value))
    radio.props("inline dense").props["aria-label"] = "What to start"


def _parameters(entry: Entry) -> None:
    form = entry.form
    rows(entry, "parameters", form.parameters, searchable=True)
    known = {field.name for field in form.parameters}
    with ui.element("div").classes("empty:hidden") as further:
        for name in (*entry.draft.parameters, *entry.draft.space):
            if name not in known:
                known.add(name)
                _add_row(entry, name)
    if form.further:
        with ui.element("div").classes("flex items-end gap-2"):
            entered = ui.input("Another parameter of the trainer").props("outlined dense")
            entered.classes("grow")

            def add() -> None:
                wanted = str(entered.value or "").strip()
                if wanted and wanted not in known:
                    known.add(wanted)
                    with further:
                        _add_row(entry, wanted)
                    entry.put("parameters", wanted, "")
                    entered.value = ""

            ui.button("Add", on_click=add).props("outline no-caps")


def _seed(entry: Entry) -> None:
    declared = str(entry.form.seed)
    with described("seed", f"Seed of the run · default {declared}"):
        seed = ui.input(value=entry.draft.seed or declared)
    seed.on_value_change(
        lambda event: entry.set(seed="" if event.value == declared else event.value or "")
    )
    seed.props("outlined dense hide-bottom-space debounce=250 inputmode=numeric")
    seed.classes("w-full hub-number").props["aria-label"] = "seed"

    def show() -> None:
        seed.error = entry.checked.problems.get("seed")

    entry.shown.append(show)
    show()


def _add_row(entry: Entry, name: str) -> None:
    """Add the row of a parameter that the trainer does not list."""

    def remove() -> None:
        element.delete()
        entry.shown.remove(row.show)
        entry.put("space", name, None)
        entry.put("parameters", name, None)

    with ui.element("div") as element:
        row = Row(entry, "parameters", FormField.of_any(name), True, remove)


def _sweep(entry: Entry) -> None:
    note = "The best model on the validation split becomes candidate."
    with ui.element("div") as section, card("Sweep", note):
        rows(entry, "search", entry.form.search)

    def show() -> None:
        section.set_visibility(entry.draft.sweep)

    entry.shown.append(show)
    show()


def _labels(entry: Entry) -> None:
    tags = ui.textarea("Tags, NAME=VALUE, one a line", value=entry.draft.tags)
    tags.on_value_change(lambda event: entry.set(tags=event.value or ""))
    tags.props("outlined dense autogrow hide-bottom-space debounce=250").classes("w-full")
    note = ui.textarea("Note", value=entry.draft.note)
    note.on_value_change(lambda event: entry.set(note=event.value or ""))
    note.props(f"outlined dense autogrow hide-bottom-space debounce=250 maxlength={MAX_NOTE}")
    note.classes("w-full")

    def show() -> None:
        tags.error = entry.checked.problems.get("tags")
        note.error = entry.checked.problems.get("note")

    entry.shown.append(show)
    show()
