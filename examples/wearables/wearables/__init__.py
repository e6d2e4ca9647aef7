"""A third party's plugin: a model and a data set of modalities that are not text, audio, video."""

import harness


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    """Return the model."""
    return [harness.read_card(f"{__name__}:wearable-fusion.yaml")]


@harness.hookimpl
def harness_datasets() -> list[harness.DatasetSpec]:
    """Return the data set."""
    return [harness.read_dataset_card(f"{__name__}:wearable-feelings.yaml")]
