"""From the authors' files to batches, in one direction."""
