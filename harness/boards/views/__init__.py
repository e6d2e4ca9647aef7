"""Views: what is shown of the tidy frame, as grids; how a cell looks is the formats' business."""
