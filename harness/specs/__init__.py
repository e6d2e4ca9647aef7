"""Frozen descriptions of models, data sets, protocols and board formats. No torch in here.

Plugins hand these over at start-up; the code they name (``"module:attribute"``) is imported only
when it is used, so that listing a hundred models costs nothing.
"""

from harness.specs.data import (
    LAYOUTS,
    NOT_STATED,
    DatasetSpec,
    LayoutTraits,
    ModalitySpec,
    SourceFile,
)
from harness.specs.derived import (
    CROSS,
    FOLDS,
    DerivedSpec,
    LabelMap,
    cross_spec,
    fold_spec,
)
from harness.specs.extensions import (
    BoardFormat,
    BoardView,
    DropoutFamily,
    Metric,
    Skill,
    Suite,
)
from harness.specs.figures import (
    FigureKind,
    FigureOption,
    FigureReport,
)
from harness.specs.kinds import (
    MASK_OPTIONS,
    PERSONALITY,
    CompatSelect,
    GridContext,
    LabelKind,
    Layout,
    MaskOption,
    PositionUnit,
    Role,
    Sampler,
    Source,
)
from harness.specs.launchers import (
    Event,
    Launcher,
    LauncherSpec,
    Outcome,
    Report,
    Task,
)
from harness.specs.models import (
    CARD_FIELDS,
    SEARCH,
    AblationSpec,
    CompatSpec,
    ExpectedFailure,
    ModelSpec,
    Paper,
    Variant,
)
from harness.specs.training import (
    TaskInfo,
    TrainingConfig,
    bounded,
)

__all__ = [
    "CARD_FIELDS", "CROSS", "FOLDS", "LAYOUTS", "MASK_OPTIONS", "NOT_STATED", "PERSONALITY",
    "SEARCH",
    "AblationSpec", "BoardFormat", "BoardView", "CompatSelect", "CompatSpec", "DatasetSpec",
    "DerivedSpec", "DropoutFamily", "Event", "ExpectedFailure", "FigureKind", "FigureOption",
    "FigureReport", "GridContext", "LabelKind", "LabelMap", "Launcher",
    "LauncherSpec", "Layout", "LayoutTraits", "MaskOption", "Metric",
    "ModalitySpec", "ModelSpec", "Outcome", "Paper", "PositionUnit", "Report", "Role", "Sampler",
    "Skill", "Source", "SourceFile", "Suite", "Task", "TaskInfo", "TrainingConfig", "Variant",
    "bounded", "cross_spec", "fold_spec",
]  # fmt: skip
