"""Measurements of the harness's speed and memory: ``python -m benchmarks``.

`measuring` is what all programs share: clocks, the product that times are set in relation to, peak
memory, children, result files. `cli` is the command; every other module measures one thing.
"""

# The package's settings of the allocator take effect only before torch is imported.
import harness  # noqa: F401
