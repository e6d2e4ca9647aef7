"""Named checks of the contract between the harness and a model plugin (`harness.model`).

Each check takes a model, a batch or the surroundings and nothing of the engine, so that it can be
used alone: every run makes them on its first batches and before scoring. A check that fails raises
`CheckFailedError`, whose message says what the contract demands, what was seen and where; a check
that only warns returns sentences.
"""

from harness.conformance.access import AccessWatch
from harness.conformance.encodings import check_encodings
from harness.conformance.errors import CheckFailedError
from harness.conformance.facts import check_facts
from harness.conformance.mechanisms import check_diagnostics, check_loss_terms
from harness.conformance.outputs import check_optimizers, check_scores, check_step_output
from harness.conformance.pairs import check_complete
from harness.conformance.prediction import BatchWatch, check_prediction, padding_gap
from harness.conformance.surroundings import Surroundings, set_deterministic
from harness.conformance.training import ParameterWatch

__all__ = [
    "AccessWatch",
    "BatchWatch",
    "CheckFailedError",
    "ParameterWatch",
    "Surroundings",
    "check_complete",
    "check_diagnostics",
    "check_encodings",
    "check_facts",
    "check_loss_terms",
    "check_optimizers",
    "check_prediction",
    "check_scores",
    "check_step_output",
    "padding_gap",
    "set_deterministic",
]
