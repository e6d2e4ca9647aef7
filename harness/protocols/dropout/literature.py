"""How settings of the literature are called here: `SETTINGS`, shown by ``harness list protocols``.

A setting that others run under a name of their own is found by that name. ``difference`` is what
remains of it: the protocols here have fixed masks, one model for all of them, and leave at least
one modality wherever one is there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """A setting of published work.

    Attributes:
        work: who runs it.
        theirs: its name there; letters stand for numbers.
        ours: the protocols that are the same setting, or the nearest; empty: there is none.
        example: ids of protocols, or ids of suites, that exist.
        difference: what differs still; empty: nothing.
    """

    work: str
    theirs: str
    ours: str
    example: tuple[str, ...] = ()
    difference: str = ""


_PAPER = "exact count there, each sample by itself here"
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "GCNet, HME, CPM-Net", "missing rate η, random missing",
        "random-seg-η of dialogues, random-η else", ("random-seg-0.3@1", "random-0.3@1"),
        "masks are fixed instead of drawn anew for every batch and epoch",
    ),
    Setting(
        "MoMKE", "test condition a, t, v, at, av, tv, atv",
        "only-a, only-t, only-v, drop-v, drop-t, drop-a, full",
        ("only-a@1", "drop-v@1", "full@1"), "theirs has a model for each condition",
    ),
    Setting(
        "IMDer, DiCMoR", "fixed missing", "only-*, drop-*, full", ("only-a@1", "drop-a@1"),
    ),
    Setting("CIDer", "SMM", "only-*, drop-*, full", ("only-a@1", "drop-a@1")),
    Setting(
        "IMDer, DiCMoR", "random missing, MR", "tiers-MR", ("tiers-0.3@1",),
        "drawn for each sample instead of each batch",
    ),
    Setting(
        "MMIN", "six missing conditions and their average",
        "only-*, drop-* (core@1); avg6", ("core@1",),
    ),
    Setting(
        "MMIN", "its training", "train-paired", ("train-paired@1",),
        "`mmin` here hides modalities itself and does not read the complete batch",
    ),
    Setting(
        "MPLMM", "drop rate p", "patterns-p", ("patterns-0.7@1",),
        "masks are fixed instead of drawn anew for every epoch",
    ),
    Setting(
        "iMML", "mcar, p", "patterns-p", ("patterns-0.6@1",),
        f"{_PAPER}; with four modalities or more theirs are not all alike",
    ),
    Setting("iMML", "mem, p", "exclusive-p", ("exclusive-0.6@1",), f"{_PAPER}, equal groups"),
    Setting("iMML", "pm with one modality, p", "lose-M-p", ("lose-t-0.6@1",), _PAPER),
    Setting(
        "missing-aware prompts", "missing-text, missing-image", "lose-M-p", ("lose-t-0.7@1",),
        _PAPER,
    ),
    Setting(
        "missing-aware prompts", "missing-both",
        "exclusive-p or patterns-p of two modalities", ("exclusive-0.7@1", "patterns-0.7@1"),
        _PAPER,
    ),
    Setting(
        "iMML", "mnar, p", "none; nearest patterns-p", ("patterns-0.6@1",),
        "it is random with fixed patterns and sees no value: not missing not at random",
    ),
    Setting(
        "CIDer", "RMM, r", "mcar-r", ("mcar-0.3@1",),
        "one modality is left, so that r^k/k less goes",
    ),
    Setting("TATE, EMMR", "random modality missing, r", "mcar-r", ("mcar-0.3@1",), "as RMM"),
    Setting(
        "CIDer, TFR-Net, NIAT, EMT-DLFR, LNLN", "RMFM, RMFM_same, missing rate r", "frames-r",
        ("frames-0.3@1",), "the same masks for all rates, at most 0.9; no token is exempt",
    ),
    Setting("CIDer", "TMFM, r", "frames-sync-r", ("frames-sync-0.3@1",), "ends are not exempt"),
    Setting(
        "CIDer", "STMFM, r", "burst-sync-r", ("burst-sync-0.3@1",),
        "ends are not exempt; a block of floor(r L + 1/2) positions",
    ),
    Setting("CIDer", "RMFM in training", "train-frames", ("train-frames@1",)),
    Setting("LNLN", "its training", "train-frame-rates", ("train-frame-rates@1",)),
    Setting(
        "nobody we found", "missing not at random, by the features themselves",
        "mnar-high, -low, -long, -short; mcar as their control",
        ("mnar-high-0.3@1", "mcar-0.3@1"),
    ),
)  # fmt: skip
"""One entry a name that a reader may look for."""
