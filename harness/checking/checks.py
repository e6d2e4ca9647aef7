"""The checks of a model, each a function of a `Bench` that raises where the contract is broken.

A message says what the contract demands, what was seen, and how to mend it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
import yaml

from harness.checking import apart
from harness.checking.bench import CPU, EPOCHS, Bench, Session
from harness.checking.report import SkippedError, broken
from harness.config import resolve_config
from harness.conformance import (
    CheckFailedError,
    check_encodings,
    check_facts,
    check_prediction,
    padding_gap,
)
from harness.data.batch import Batch
from harness.engine.checkpoint import parse_checkpoint
from harness.engine.device import choose
from harness.engine.predict import predict
from harness.errors import ConfigError
from harness.protocols.metrics import average_precision
from harness.specs.models import CHECK_WARNINGS

TOLERANCE = 1e-5
BF16 = 0.1
LOUD = 10.0
# Epochs of a model that is slow to learn, and by how much it then has to be better.
LONGER = 60
BETTER = 0.05


def config(bench: Bench) -> None:
    """The configuration is made from its own JSON and YAML form; an unknown key is refused."""
    own = bench.plan.config
    values = own.as_dict()["model"]
    for form, read in (("JSON", json.loads(json.dumps(values))),
                       ("YAML", yaml.safe_load(yaml.safe_dump(values)))):  # fmt: skip
        again = resolve_config(bench.plan.entry.spec, bench.spec, own.preset, {"model": read}, [])
        if again.as_dict()["model"] != values:
            raise broken("config", f"{bench.kind}.Config must be equal to what is made of its own "
                         f"{form} form; it is not. Give its fields plain types.")  # fmt: skip
    try:
        bench.planned(overrides=("model.no_such_key=1",))
    except ConfigError:
        return
    raise broken("config", f"{bench.kind}.Config must refuse unknown keys; it took "
                  "'no_such_key'. Make it a frozen dataclass.")  # fmt: skip


def outputs(bench: Bench) -> None:
    """Scores are finite numbers in [0, 1], for features that are loud, silent or alike too."""
    model = bench.session.model
    batch = bench.batch(model).without_labels()
    for what, factor in (("as they are", 1.0), (f"{LOUD:g} times as large", LOUD), ("0", 0.0)):
        try:
            bench.scores(model, _scaled(batch, factor))
        except CheckFailedError as error:
            raise broken("outputs", f"{bench.kind}.predict_step must return finite floating-"
                         f"point scores [B, L] in [0, 1]; with features {what}: {error} "
                         "Return probabilities (harness.nn.task_loss).") from error  # fmt: skip


def batch_sizes(bench: Bench) -> None:
    """Batches of one and of an odd size, and the order of samples, change no score."""
    model = bench.session.model
    batch = bench.batch(model).without_labels()
    check_prediction(model, batch, lambda b: bench.scores(model, b), TOLERANCE)
    for size in (1, 3):
        found = bench.scores(model, batch.select(range(size)))
        gap = float(np.abs(found - bench.scores(model, batch)[:size]).max())
        if gap > TOLERANCE:
            raise broken(
                "batch-sizes",
                f"{bench.kind}.predict_step must give a sample the same score in any batch; in a "
                f"batch of {size} it differs by {gap:.2g}. Do not squeeze the batch axis, or use "
                "statistics of the batch.",
            )


def padding(bench: Bench) -> None:
    """Padding changes no score, unless the model says that it reads it."""
    model = bench.session.model
    if model.reads_padding:
        raise SkippedError("the model sets reads_padding")
    gap = padding_gap(bench.batch(model).without_labels(), lambda b: bench.scores(model, b))
    if gap > TOLERANCE:
        raise broken("padding", f"{bench.kind}.predict_step must not read positions outside of "
                      f"batch.mask; leaving them out changes scores by {gap:.2g}. Read the mask, "
                      "or set reads_padding.")  # fmt: skip


def pure_prediction(bench: Bench) -> None:
    """Prediction changes no parameter or buffer, and draws no random number."""
    model = bench.session.model
    before = {k: v.clone() for k, v in model.state_dict().items()}
    batch = bench.batch(model).without_labels()
    state = torch.get_rng_state()
    predict(model, [batch], CPU)
    drawn = not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    if drawn:
        raise broken("pure-prediction", f"{bench.kind}.predict_step must draw no random numbers; "
                      "it did. Draw in training_step alone.")  # fmt: skip
    changed = [k for k, v in model.state_dict().items() if not _equal(v, before[k])]
    if changed:
        raise broken("pure-prediction", f"{bench.kind}.predict_step must leave the model as it "
                      f"was; it changed {', '.join(changed[:3])}. Update buffers in training_step "
                      "alone.")  # fmt: skip


def missing_modalities(bench: Bench) -> None:
    """Scores are finite whatever modalities are missing, in a whole batch, one left included."""
    model = bench.session.model
    if len(model.task.modalities) < 2:
        raise SkippedError("one modality")
    batch = bench.batch(model).without_labels()
    for what, left in bench.alone(batch, model):
        try:
            bench.scores(model, left)
        except Exception as error:
            raise broken(
                "missing-modalities",
                f"{bench.kind}.predict_step must give finite scores whatever is missing; with "
                f"{what} in the whole batch: {error} Divide by counts of at least 1, and look at "
                "batch.present.",
            ) from error


def label_kind(bench: Bench) -> None:
    """Scores of single-label data are probabilities that sum to 1."""
    if bench.spec.label_kind != "singlelabel":
        raise SkippedError("the labels are not single")
    model = bench.session.model
    total = bench.scores(model, bench.batch(model)).sum(axis=1)
    if not np.allclose(total, 1, atol=1e-3):
        raise broken("label-kind", f"{bench.kind}.predict_step must return probabilities that sum "
                      f"to 1 on single-label data; they sum to {total.min():.3g} to "
                      f"{total.max():.3g}. Use harness.nn.task_loss.task_scores.")  # fmt: skip


def parameters(bench: Bench) -> None:
    """Every trainable parameter is in exactly one optimiser and gets a gradient."""
    _iterative(bench)
    for sentence in bench.session.checks.warnings:
        if any(mark in sentence for mark in CHECK_WARNINGS["parameters"]):
            raise broken(
                "parameters",
                "every trainable parameter must be in exactly one optimiser and get a gradient. "
                f"{sentence} Use it in the loss, list it once in configure_optimizers, or set "
                "requires_grad = False.",
            )


def warnings(bench: Bench) -> None:
    """A run warns of nothing else: state of the process, random numbers, NaN after training."""
    known = [mark for marks in CHECK_WARNINGS.values() for mark in marks]
    rest = [w for w in bench.session.checks.warnings if not any(k in w for k in known)]
    if rest:
        raise broken("warnings", f"a run must warn of nothing; it warned: {' '.join(rest)}")


def loss_falls(bench: Bench) -> None:
    """The loss falls on data that can be learned."""
    _iterative(bench)
    if bench.session.model.selects_from:
        raise SkippedError("the model trains in stages (selects_from)")
    losses = bench.session.losses
    if not min(losses[-3:]) < losses[0]:
        shown = ", ".join(f"{x:.4g}" for x in (losses[0], *losses[-3:]))
        raise broken("loss-falls", f"the loss must fall on data that is easy to learn; the first "
                      f"epoch and the last three of {EPOCHS} had {shown}. Is the loss returned "
                      "with its sign, and do its parameters get gradients?")  # fmt: skip


def beats_prior(bench: Bench) -> None:
    """What was learned ranks samples better than the prior, on data that is easy to learn."""
    for epochs in (EPOCHS, LONGER) if bench.model_class.iterative else (EPOCHS,):
        session = bench.session if epochs == EPOCHS else bench.train(bench.planned(epochs))
        batch = bench.batch(session.model, "train")
        truth = batch.targets.numpy()
        known = average_precision(truth, bench.scores(session.model, batch))
        reached = float(np.mean([ap for ap in known if ap is not None]))
        prior = float(truth.mean(axis=0)[[ap is not None for ap in known]].mean())
        if reached > prior + BETTER:
            return
    raise broken("beats-prior", f"{bench.kind} must learn what is easy: on its own training split "
                 f"its mean average precision is {reached:.3f} after {epochs} epochs, that of the "
                 f"prior {prior:.3f}. Does predict_step read what training_step trains, in the "
                 "order of the labels?")  # fmt: skip


def seeds(bench: Bench) -> None:
    """The same seed gives the same model, bit by bit; another seed another one."""
    first, again = (bench.train(bench.planned(1)) for _ in range(2))
    if any(not _equal(v, again.trained.state[k]) for k, v in first.trained.state.items()):
        raise broken("seeds", f"{bench.kind} must be the same after two trainings of one seed; "
                      "it is not. Draw random numbers from torch or ctx.generator, and order no "
                      "work by sets, hashes or the clock.")  # fmt: skip
    _iterative(bench)
    other = bench.train(bench.planned(1, seed=1))
    if all(_equal(v, other.trained.state[k]) for k, v in first.trained.state.items()):
        raise broken("seeds", f"{bench.kind} must depend on the seed; two seeds give the same "
                      "model. Do not seed random numbers in the model.")  # fmt: skip


def resumption(bench: Bench) -> None:
    """A run that was interrupted ends as one that was not."""
    _iterative(bench)
    plan = bench.planned(2)
    whole = bench.train(plan)
    bench.train(plan, until=1, folder="resumed")
    rest = bench.train(plan, folder="resumed")
    if [e["epoch"] for e in rest.trained.log] != [0, 1] or whole.losses != rest.losses:
        raise broken("resumption", f"{bench.kind} must go on after an interruption as if there "
                      f"had been none; the second epoch's loss is {rest.losses[-1]:.6g} instead of "
                      f"{whole.losses[-1]:.6g}. Keep what is carried from step to step in "
                      "parameters and registered buffers.")  # fmt: skip


def checkpoint(bench: Bench) -> None:
    """A model built from its checkpoint alone gives the same scores."""
    session = bench.session
    stored = parse_checkpoint(bench.checkpoint(_state(session)), "check")
    batch = bench.batch(session.model)
    gap = float(np.abs(
        bench.scores(stored.build(bench.registry), batch) - bench.scores(session.model, batch)
    ).max())  # fmt: skip
    if gap > TOLERANCE:
        raise broken("checkpoint", f"{bench.kind} must be known by its configuration, task and "
                      f"state_dict; rebuilt from them its scores differ by {gap:.2g}. Register "
                      "what is learned as parameters or buffers.")  # fmt: skip


def shared_encodings(bench: Bench) -> None:
    """Encodings that are shared between dropout protocols give the scores of predict_step."""
    model = bench.session.model
    if not model.shares_encodings:
        raise SkippedError("the model does not set shares_encodings")
    check_encodings(
        model, bench.batch(model).without_labels(),
        lambda batch, step: predict(model, [batch], CPU, step), TOLERANCE,
    )  # fmt: skip


def facts(bench: Bench) -> None:
    """What the model says of itself is JSON."""
    check_facts(bench.session.model, bench.session.model.describe())


def precision(bench: Bench) -> None:
    """Scores in bf16 autocast are finite and near those in float32."""
    model, compute = bench.session.model, replace(CPU, precision="bf16")
    batch = bench.batch(model)
    gap = float(np.abs(bench.scores(model, batch, compute) - bench.scores(model, batch)).max())
    if not gap <= BF16:
        raise broken("precision", f"{bench.kind}.predict_step must work under bf16 autocast; its "
                      f"scores differ by {gap:.2g} from float32. Compute exponentials and sums of "
                      "many terms in float32.")  # fmt: skip


def device(bench: Bench) -> None:
    """The model trains and predicts on a GPU, with every tensor on it."""
    if not torch.cuda.is_available():
        raise SkippedError("no CUDA device on this machine")
    compute = choose("cuda")
    with compute.deterministic():
        session = bench.train(bench.planned(1), compute=compute)
        bench.scores(session.model.to(compute.device), bench.batch(session.model), compute)


CHECKS: Mapping[str, Callable[[Bench], None]] = MappingProxyType(
    {
        f.__name__.replace("_", "-"): f
        for f in (
            apart.card, apart.registration, config, apart.data_sets, outputs, batch_sizes, padding,
            pure_prediction, missing_modalities, label_kind, parameters, warnings, loss_falls,
            beats_prior, seeds, resumption, checkpoint, shared_encodings, facts, apart.access,
            apart.growth, apart.time, precision, device,
        )
    }
)  # fmt: skip
"""The checks by name, in order."""


def _scaled(batch: Batch, factor: float) -> Batch:
    features = {m: x * factor for m, x in batch.features.items()}
    grid = batch.grid
    if grid is not None:
        grid = replace(grid, rows={m: x * factor for m, x in grid.rows.items()})
    return replace(batch, features=features, grid=grid)


def _iterative(bench: Bench) -> None:
    if not bench.model_class.iterative:
        raise SkippedError("the model is fitted at once")


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def _state(session: Session) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone().contiguous() for k, v in session.model.state_dict().items()}
