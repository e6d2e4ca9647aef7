"""Many runs at once: a grid over the cores of one machine."""
