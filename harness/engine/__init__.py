"""The one training loop, prediction and evaluation."""
