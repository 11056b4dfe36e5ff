"""Reading and checking the declarations of a project.

All errors are found together, each with its file, line and key.

Nothing is built from them here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from dagster.components.core.defs_module import ComponentFileModel
from dagster_shared.serdes.objects.package_entry import EnvRegistryKey
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import ValueAndSourcePositionTree
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlops_assets.components.project.declared_services import retrained_model, service_problems
from mlops_assets.components.project.unknown_keys import advice
from mlops_assets.errors import NameRefused, ProcessingError, SpecificationError, TrainerError
from mlops_assets.names import Reference
from mlops_assets.processing.function import load_processing
from mlops_assets.text.listing import named
from mlops_assets.training.trainers import load_trainer

FILE_NAMES = ("defs.yaml", "component.yaml")
PACKAGE = "mlops_assets.components"
# number of the document where a file cannot be read
WHOLE_FILE = -1
# a file, and the number of a document in it
Place = tuple[Path, int]
# of a mapping, or the position in a list
Key = str | int


@dataclass(frozen=True)
class Declaration:
    """One YAML document that declares one of our components."""

    kind: str
    file: Path
    number: int
    document: ValueAndSourcePositionTree
    model: type[BaseModel]

    @property
    def place(self) -> Place:
        """The place where it is written."""
        return self.file, self.number

    def where(self, *keys: Key) -> str:
        """Return `file:line` of a key, or of the nearest one around it."""
        position, _ = self.document.source_position_tree.lookup_closest_and_path(list(keys), None)
        return f"{self.file}:{position.start.line}"

    def attribute(self, key: str) -> str | None:
        """Return one attribute as written, if it is a text."""
        value = self.find("attributes", key)
        return value if isinstance(value, str) else None

    def find(self, *keys: str) -> object:
        """Return the value under nested keys, None if there is none."""
        found: object = self.document.value
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def problem(
        self, keys: Sequence[Key], message: str, *others: Declaration
    ) -> DeclarationProblem:
        """Return an error at a key of this declaration; `others` are wrong for the same reason."""
        text = f"{self.where(*keys)}: {'.'.join(map(str, keys)) or 'attributes'}: {message}"
        return DeclarationProblem(text, (self.place, *(other.place for other in others)))


@dataclass(frozen=True)
class DeclarationProblem:
    """One error, and the documents that cannot be used because of it."""

    text: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class ProjectDeclarations:
    """The declarations of a project and their problems."""

    folder: Path
    # every document, of other packages too, with its file and line
    documents: dict[Place, str]
    declarations: list[Declaration]
    problems: list[DeclarationProblem]

    @property
    def left_out(self) -> dict[Place, str]:
        """Documents that cannot be used, with the reason.

        They have an error, or declare a model of a dataset that has one, data made from it, or a
        service that retrains such a model.
        """
        reasons: dict[Place, str] = {}
        for problem in self.problems:
            for place in problem.places:
                reasons[place] = "\n".join(
                    [*reasons.get(place, "").splitlines(), f"  - {problem.text}"]
                )
        wrong = [d for d in self.declarations if _is_dataset(d) and d.place in reasons]
        # the list grows by the datasets that are made from those in it
        for dataset in wrong:
            name = dataset.attribute("name")
            for declaration in self.declarations:
                if name in _made_from(declaration) and declaration.place not in reasons:
                    reasons[declaration.place] = (
                        f"  - {declaration.where()}: its dataset {name} is declared wrongly"
                    )
                    wrong += [declaration] if _is_dataset(declaration) else []
        models = {d.attribute("name") for d in self.declarations if d.place in reasons}
        for declaration in self.declarations:
            model = retrained_model(declaration)
            if model is not None and model in models and declaration.place not in reasons:
                where = declaration.where()
                reasons[declaration.place] = f"  - {where}: its model {model} is declared wrongly"
        return reasons

    def left_out_names(self) -> dict[str, str]:
        """Return the reasons by the name of the dataset or model, where it has one."""
        reasons = self.left_out
        found = {
            d.attribute("name"): reasons[d.place] for d in self.declarations if d.place in reasons
        }
        return {name: reason for name, reason in found.items() if name is not None}

    def message(self) -> str:
        """Return all errors, one a line."""
        listed = "\n".join(f"  - {problem.text}" for problem in self.problems)
        return f"{len(self.problems)} problem(s) in the declarations below {self.folder}:\n{listed}"


def check_declarations(folder: Path) -> None:
    """Check every declaration of ours below a folder.

    Raises:
        SpecificationError: all errors, one a line, with file, line and key.
    """
    declared = read_declarations(folder)
    if declared.problems:
        raise SpecificationError(declared.message())


def read_declarations(folder: Path) -> ProjectDeclarations:
    """Read every declaration below a folder, and find the problems of those of ours."""
    documents_at: dict[Place, str] = {}
    declarations: list[Declaration] = []
    problems: list[DeclarationProblem] = []
    for file in _files(folder):
        try:
            text = file.read_text(encoding="utf-8")
            documents = parse_yamls_with_source_position(text, str(file))
            nodes = list(yaml.compose_all(text, yaml.SafeLoader))
        # the last three for a list as a key, a wrong tag, or deep nesting
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            problems.append(
                DeclarationProblem(
                    f"{file}: is not valid YAML: {' '.join(str(error).split())}",
                    ((file, WHOLE_FILE),),
                )
            )
            continue
        if not documents:
            problems.append(
                DeclarationProblem(
                    f"{file}: is empty; declare something or remove the file", ((file, WHOLE_FILE),)
                )
            )
        for number, document in enumerate(documents):
            documents_at[file, number] = (
                f"{file}:{document.source_position_tree.position.start.line}"
            )
            found = _declaration(file, number, document)
            if isinstance(found, Declaration):
                declarations.append(found)
                problems += [
                    *_problems(found, nodes[number]),
                    *_rewritten_classes(found, nodes[number]),
                    *_repeated_keys(found, nodes[number]),
                ]
            elif found is not None:
                problems.append(found)
    return ProjectDeclarations(
        folder, documents_at, declarations, [*problems, *_disagreements(declarations)]
    )


def _files(folder: Path) -> list[Path]:
    """Return the files that Dagster reads.

    It ignores hidden files, such as an editor's copies.
    """
    found = [path for name in FILE_NAMES for path in folder.rglob(name)]
    return sorted(
        p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def _declaration(
    file: Path, number: int, document: ValueAndSourcePositionTree
) -> Declaration | DeclarationProblem | None:
    """Return a declaration of ours or its problem, or None for a component of another package."""
    where = f"{file}:{document.source_position_tree.position.start.line}"
    kind = document.value.get("type") if isinstance(document.value, dict) else None
    if not isinstance(kind, str):
        text = f"{where}: type: names no component; write e.g. 'type: {PACKAGE}.TrainingDataset'"
        return DeclarationProblem(text, ((file, number),))
    # relative to the folder, which Dagster resolves
    if kind.startswith("."):
        return None
    component = _component(kind)
    if component is None:
        text = f"{where}: type: there is no component {kind}; see 'dg list components'"
        return DeclarationProblem(text, ((file, number),))
    model = component.get_model_cls()
    if kind.split(".")[0] != PACKAGE.split(".")[0] or model is None:
        return None
    return Declaration(component.__name__, file, number, document, model)


def _component(kind: str) -> type[dg.Component] | None:
    """Return the class of a component by its type as written, None if there is none."""
    try:
        key = EnvRegistryKey.from_typename(kind)
        found = getattr(importlib.import_module(key.namespace), key.name, None)
    except (ImportError, ValueError, dg.DagsterError):
        return None
    return found if isinstance(found, type) and issubclass(found, dg.Component) else None


def _problems(declaration: Declaration, node: yaml.Node) -> Iterator[DeclarationProblem]:
    """Yield the problems of one declaration by itself."""
    document = dict(declaration.document.value)
    attributes = document.pop("attributes", None)
    parts: list[tuple[type[BaseModel], object, list[str]]] = [
        (ComponentFileModel, document, []),
        (declaration.model, {} if attributes is None else attributes, ["attributes"]),
    ]
    for model, value, keys in parts:
        try:
            model.model_validate(value)
        except ValidationError as error:
            for entry in error.errors():
                path = [*keys, *entry["loc"]]
                yield declaration.problem(path, _message(declaration, entry, path, node))
        except Exception as error:  # noqa: BLE001
            # of the code of a trainer or function, which checks its parameters
            yield declaration.problem(
                keys, f"cannot be checked: {type(error).__name__}: {error}; correct that code"
            )


def _rewritten_classes(
    declaration: Declaration, document: yaml.Node
) -> Iterator[DeclarationProblem]:
    """Yield values in `classes` that are other numbers to YAML: 010 is 8, and 1_000 is 1000."""
    node = _child(_child(document, "attributes"), "classes")
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        value = _read(key)
        if type(value) is int and key.value != str(value):
            message = f"{key.value} is {value} to YAML; quote it if it is text, or write {value}"
            yield declaration.problem(("attributes", "classes"), message)


def _repeated_keys(declaration: Declaration, document: yaml.Node) -> Iterator[DeclarationProblem]:
    """Yield keys that a mapping has twice; YAML takes the last one silently."""
    nodes = [document]
    # the list grows: breadth first
    for node in nodes:
        if not isinstance(node, yaml.MappingNode):
            nodes += node.value if isinstance(node, yaml.SequenceNode) else []
            continue
        seen: dict[object, yaml.Node] = {}
        for key, value in node.value:
            nodes.append(value)
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            first = seen.setdefault(_read(key), key)
            if first is not key:
                yield DeclarationProblem(
                    f"{declaration.file}:{key.start_mark.line + 1}: {key.value}: is written twice,"
                    f" first in line {first.start_mark.line + 1}; remove one",
                    (declaration.place,),
                )


def _read(key: yaml.Node) -> object:
    """Return the value of a key in YAML; dates are texts to Dagster."""
    if key.tag.endswith(":timestamp"):
        return key.value
    return yaml.SafeLoader("").construct_object(key)


def _child(node: yaml.Node | None, key: Key) -> yaml.Node | None:
    """Return the value of a mapping under a key, or of a list at a position."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        found: yaml.Node = node.value[key]
        return found
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _message(
    declaration: Declaration, entry: ErrorDetails, path: list[Key], document: yaml.Node
) -> str:
    if entry["type"] == "extra_forbidden":
        others = _other_models(declaration)
        params = _trainer_parameters(declaration)
        return advice(declaration.model, declaration.document.value, path, others, params)
    if entry["type"] == "string_type":
        node: yaml.Node | None = document
        for key in path:
            node = _child(node, key) or node
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value:
            return f"{node.value} is not text to YAML; quote it: '{node.value}'"
    return str(entry["msg"]).removeprefix("Value error, ")


def _trainer_parameters(declaration: Declaration) -> type[BaseModel] | None:
    """Return the parameters of the trainer of a model, or of the function of a dataset.

    None without one. One that cannot be loaded is an error of its own.
    """
    trainer, function = (declaration.attribute(key) for key in ("trainer", "function"))
    try:
        if declaration.kind == "TrainedModel" and trainer is not None:
            return load_trainer(trainer).params_type
        if declaration.kind == "ProcessedDataset" and function is not None:
            return load_processing(function).params_type
    except (TrainerError, ProcessingError):
        pass
    return None


def _other_models(declaration: Declaration) -> dict[str, type[BaseModel]]:
    """Return the attributes of the other components, by their names."""
    package = importlib.import_module(PACKAGE)
    components = [getattr(package, name) for name in package.__all__]
    models = {
        c.__name__: c.get_model_cls()
        for c in components
        if isinstance(c, type) and issubclass(c, dg.Component)
    }
    return {
        name: model
        for name, model in models.items()
        if model is not None and name != declaration.kind
    }


def _is_dataset(declaration: Declaration) -> bool:
    return declaration.kind in ("TrainingDataset", "ProcessedDataset")


def _made_from(declaration: Declaration) -> list[str]:
    """Return the datasets that a declaration names, which must be declared well for it to work."""
    if declaration.kind == "TrainedModel":
        dataset = declaration.attribute("dataset")
        return [] if dataset is None else [dataset]
    inputs = declaration.find("attributes", "inputs")
    if declaration.kind != "ProcessedDataset" or not isinstance(inputs, list):
        return []
    found: list[str] = []
    for given in inputs:
        # a malformed name is an error of its own, as is what YAML takes for something else
        with suppress(NameRefused):
            found += [Reference.parse(given).name] if isinstance(given, str) else []
    return found


def _disagreements(declarations: list[Declaration]) -> Iterator[DeclarationProblem]:
    """Yield the problems between declarations.

    Names are declared twice, models or inputs name datasets that are not declared, or data is made
    from itself.
    """
    yield from _declared_twice(
        declarations, ("attributes", "name"), "{value!r} is declared at {place} too"
    )
    datasets = {d.attribute("name") for d in declarations if _is_dataset(d)}
    there = named(sorted(name for name in datasets if name)) or "none"
    for declaration in declarations:
        key = "inputs" if _is_dataset(declaration) else "dataset"
        for dataset in _made_from(declaration):
            if dataset not in datasets:
                message = f"no dataset is called {dataset!r}; there is {there}"
                yield declaration.problem(("attributes", key), message)
    yield from _circles(declarations)
    yield from _unknown_bands(declarations)
    # two datasets that read one queue would each delete the messages that the other waits for
    queue = ("attributes", "source", "notifications", "queue")
    yield from _declared_twice(
        declarations, queue, "{value} is read at {place} too; give each dataset a queue of its own"
    )
    yield from service_problems(declarations)


def _circles(declarations: list[Declaration]) -> Iterator[DeclarationProblem]:
    """Yield datasets that are made from each other in a circle, each circle once."""
    made_from = {d.attribute("name"): d for d in declarations if _is_dataset(d)}
    reported: set[str | None] = set()
    for name, declaration in made_from.items():
        chain = _chain_back(name, made_from)
        if chain and reported.isdisjoint(chain):
            reported.update(chain)
            message = f"is a circle: {' from '.join([*chain, chain[0]])}; none could be the first"
            others = [made_from[other] for other in chain[1:]]
            yield declaration.problem(("attributes", "inputs"), message, *others)


def _chain_back(name: str | None, made_from: Mapping[str | None, Declaration]) -> list[str]:
    """Return the datasets from `name` back to itself, each made from the next; empty if none.

    A dataset that names itself is an error of its own declaration already.
    """
    paths = [[str(name)]]
    seen = {name}
    # the list grows: breadth first
    for path in paths:
        declaration = made_from.get(path[-1])
        for given in _made_from(declaration) if declaration is not None else ():
            if given == name and len(path) > 1:
                return path
            if given not in seen:
                seen.add(given)
                paths.append([*path, given])
    return []


def _declared_twice(
    declarations: list[Declaration], keys: Sequence[str], message: str
) -> Iterator[DeclarationProblem]:
    """Yield declarations that have one value under a key.

    Which of them is wrong is unknown, so none can be used.
    """
    seen: dict[str, Declaration] = {}
    for declaration in declarations:
        value = declaration.find(*keys)
        if not isinstance(value, str):
            continue
        first = seen.setdefault(value, declaration)
        if first is not declaration:
            yield declaration.problem(
                keys, message.format(value=value, place=first.where(*keys)), first
            )


def _unknown_bands(declarations: list[Declaration]) -> Iterator[DeclarationProblem]:
    """Yield bands of models that their dataset lacks, where it declares their names.

    Else training finds them.
    """
    known = {d.attribute("name"): _declared_features(d) for d in declarations if _is_dataset(d)}
    for declaration in declarations:
        names = (
            known.get(declaration.attribute("dataset"))
            if declaration.kind == "TrainedModel"
            else None
        )
        bands = declaration.find("attributes", "bands")
        unknown = (
            [band for band in bands if band not in names]
            if names and isinstance(bands, list)
            else []
        )
        if names and unknown:
            yield declaration.problem(
                ("attributes", "bands"),
                f"{declaration.attribute('dataset')} has no {', '.join(map(str, unknown))}; it has"
                f" {named(names)}",
            )


def _declared_features(declaration: Declaration) -> list[str] | None:
    """Return the names of bands or feature columns that a dataset declares, if it does."""
    for keys in (("attributes", "bands", "names"), ("attributes", "source", "table", "features")):
        found = declaration.find(*keys)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return found
    return None
