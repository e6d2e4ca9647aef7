"""What is known of a data set or a run in formats that others read: Croissant, model cards."""
