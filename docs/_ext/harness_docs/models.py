"""A page a model, from its card, its code, its tests and the committed boards."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from harness.boards.deviations import Deviations, deviations_by_plugins
from harness.config import plugin_defaults
from harness.plugins import Registry, load
from harness.specs import ModelSpec
from harness_docs.figures import boards, printed, shown
from harness_docs.markdown import code, literal, plain, section, table, toctree
from harness_docs.sources import Definition, Module, modules_of, relative, test_files

COLUMNS = ("setting", "tuned_micro_f1", "rank", "share", "over_constant", "tuned_jaccard",
           "tuned_macro_f1", "accuracy", "weighted_f1", "seeds", "parameters")  # fmt: skip
"""Columns of boards that a model's page repeats, where a board has them."""


def pages() -> dict[str, str]:
    """Return the pages by path: an index and one page a model."""
    registry = load()
    known = deviations_by_plugins(registry)
    specs = [entry.spec for entry in registry.models.values()]
    rows = [
        (f"[{s.name}]({s.name}.md)", s.summary, s.paper.year if s.paper else "–",
         _modalities(s), ", ".join(s.layouts))
        for s in specs
    ]  # fmt: skip
    about = (
        "Every model is trained, selected and scored by the same rules. A page says what the model "
        "computes, where it departs from its paper, how that is tested, and what it has reached."
    )
    heads = ["model", "what it is", "year", "modalities", "layouts"]
    index = section(1, "Models", about, table(heads, rows), toctree(s.name for s in specs))
    found = {f"models/{s.name}.md": page(s, registry, known) for s in specs}
    return {"models/index.md": index + "\n", **found}


def page(spec: ModelSpec, registry: Registry, known: Deviations) -> str:
    """Return the page of a model; ``known`` is what authors' public code does differently."""
    modules = modules_of(spec.factory.split(":")[0])
    parts = [
        spec.summary.rstrip(".") + ".",
        _facts(spec),
        section(
            2, "Run it", code(f"harness run --model {spec.name} --dataset {_example(spec)}", "sh")
        ),
        section(2, "What it computes", *_computes(spec, modules)),
        section(2, "Deviations from the paper", _listed(spec.deviations)),
        _variants(spec),
        section(2, "What the authors' code does differently", _public(spec, known)),
        section(2, "Parity and tests", _tests(spec, modules)),
        section(2, "Settings", *_settings(spec)),
        section(2, "Figures", *_figures(spec, registry)),
    ]
    return section(1, spec.name, *parts) + "\n"


def _example(spec: ModelSpec) -> str:
    grid_only = spec.layouts[0] == "grid"
    return "memor-primary-twin" if grid_only or "multilabel" not in spec.label_kinds else "mosi"


def _modalities(spec: ModelSpec) -> str:
    if spec.modalities:
        return ", ".join(spec.modalities)
    most = f" to {spec.max_modalities}" if spec.max_modalities else " or more"
    return f"{spec.min_modalities}{most}"


def _facts(spec: ModelSpec) -> str:
    paper = spec.paper
    cited = f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}." if paper else "none"
    rows = [
        ("paper", f"{cited} {f'<{paper.url}>' if paper and paper.url else ''}"),
        ("role", f"{spec.role}{', variant ' + spec.variant if spec.variant else ''}"),
        ("modalities", _modalities(spec)),
        ("labels", ", ".join(spec.label_kinds)),
        ("layouts of data", ", ".join(spec.layouts)),
        ("code", literal(spec.factory)),
        ("`--compile`", f"refused on a CPU: {spec.not_compiled}" if spec.not_compiled else "taken"),
    ]
    return table(["", ""], rows)


def _computes(spec: ModelSpec, modules: list[Module]) -> Iterable[str]:
    """Yield the docstring of the module, and equations beside the code that computes them."""
    own = modules[0]
    yield f"From `{relative(own.path)}`:"
    yield code(own.doc)
    cited = [d for m in modules for d in m.definitions if d.cites and not _inside_cited(d, m)]
    if cited:
        yield "Equations, sections and tables of the paper, beside the code that computes them:"
    yield from (_beside(d) for d in cited)
    rest = [d for m in modules for d in m.definitions if d.doc and not d.local and d not in cited]
    rows = [(literal(d.name), _first(d.doc), literal(d.module)) for d in rest if "." not in d.name]
    if rows:
        yield "Other parts:"
        yield table(["definition", "what it does", "module"], rows)


def _inside_cited(definition: Definition, module: Module) -> bool:
    """Return whether a method is shown already, within a class that cites the paper as well."""
    owner = definition.name.rpartition(".")[0]
    return any(d.name == owner and d.cites for d in module.definitions)


def _beside(definition: Definition) -> str:
    """Return a definition: what it says of the paper, and its code, folded."""
    told = code(definition.doc)
    at = f"{definition.module}, line {definition.line}"
    return "\n\n".join([
        f"**{literal(definition.name)}**", told,
        f"<details><summary>code ({at})</summary>", code(definition.source, "python"), "</details>",
    ])  # fmt: skip


def _first(doc: str) -> str:
    return plain(doc.split("\n\n")[0])


def _listed(entries: Iterable[str]) -> str:
    return "\n".join(f"- {plain(e)}" for e in entries) or "None."


def _variants(spec: ModelSpec) -> str:
    parts = []
    if spec.variants:
        rows = [
            (v.name, plain(v.summary), literal(f"--model {v.model}" if v.model else
             " ".join(f"--set {s}" for s in v.settings)) or "this model")
            for v in spec.variants
        ]  # fmt: skip
        parts.append(section(2, "Variants", table(["variant", "what it is", "how"], rows)))
    if spec.ablations:
        rows = [(literal(a.name), plain(a.removes), _needs(a.keys, a.needs_personality))
                for a in spec.ablations]  # fmt: skip
        how = code(f"harness ablate --model {spec.name} --dataset {_example(spec)}", "sh")
        parts.append(
            section(2, "Ablations", how, table(["name", "what is removed", "only on"], rows))
        )
    return "\n\n".join(parts)


def _needs(keys: tuple[str, ...], personality: bool) -> str:
    return ", ".join([*(["data with personality"] if personality else []), *keys]) or "–"


def _public(spec: ModelSpec, known: Deviations) -> str:
    name = (spec.reported_as or spec.name).lower()
    found = known.models.get(name, ())
    rows = [(plain(d.what), plain(d.effect), literal(d.switch) or "–", plain(d.source))
            for d in found]  # fmt: skip
    told = (
        table(["what", "effect", "repeated by", "source"], rows) if rows else "Nothing is recorded."
    )
    if spec.compat:
        told += "\n\n`harness run --compat` evaluates as the authors' code does: " + _compat(spec)
    return told


def _compat(spec: ModelSpec) -> str:
    assert spec.compat is not None
    facts = {k: v for k, v in vars(spec.compat).items() if v}
    return ", ".join(f"`{k}`: {plain(str(v))}" for k, v in facts.items()) + "."


def _tests(spec: ModelSpec, modules: list[Module]) -> str:
    """Return which tests hold the model to the authors' code or to its equations."""
    defining = spec.factory.split(":")[0]
    own = {m.name for m in modules}
    found = [t for t in test_files() if defining in t.imports]
    near = [t for t in test_files() if t not in found and own.intersection(t.imports)]
    parity = [t for t in (*found, *near) if t.path.startswith("tests/parity/")]
    others = [t for t in found if t not in parity]
    status = (
        "Equal to the authors' public code over stored vectors of it: scores, losses, gradients or "
        "steps, as each test says."
        if parity
        else "No vectors of the authors' code are stored for this model; what its equations demand "
        "is tested by the unit tests below."
        if spec.paper
        else "Not a published model: there is nothing to be equal to."
    )
    rows = [(literal(t.path), plain(t.doc.split("\n\n")[0])) for t in (*parity, *others)]
    return status + ("\n\n" + table(["test", "what it asserts"], rows) if rows else "")


def _settings(spec: ModelSpec) -> Iterable[str]:
    defaults = plugin_defaults(spec)
    if not defaults:
        yield "It has none."
        return
    yield (
        "Presets of its card (`--preset NAME`), bounds of its search (`space`) and what "
        "`harness tune` found (`search`, without its trials). Every key is set by "
        "`--set KEY=VALUE`; all keys are in [the reference of settings](../configuration.md)."
    )
    shown = {k: _short(v) if k == "search" else v for k, v in defaults.items()}
    text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)
    yield code(text, "yaml")


def _short(search: object) -> object:
    if isinstance(search, dict):
        return {k: _short(v) for k, v in search.items() if k not in ("trials", "space")}
    return search


def _figures(spec: ModelSpec, registry: Registry) -> Iterable[str]:
    found = False
    for board in boards():
        rows = [r for r in board.rows if str(r.get("model")).split(" ")[0] == spec.name]
        columns = [c for c in COLUMNS if c in board.columns and any(c in r for r in rows)]
        if rows:
            found = True
            cells = [[shown(r.get(c)) for c in columns] for r in rows]
            yield f"**{board.name}.** {board.about}"
            yield table([board.columns[c] for c in columns], cells)
    if not found:
        yield "No committed board has a row of it yet."
    rows_printed = printed(registry, spec.reported_as or spec.name)
    if rows_printed:
        yield "Printed in papers (not comparable with the rows above):"
        yield table(
            ["table", "printed figures", "source"],
            [(t, ", ".join(f"{k} {v}" for k, v in f.items() if v is not None), s)
             for t, s, f in rows_printed],
        )  # fmt: skip
