"""``python -m tests.fuzz --minutes 30``: explore; findings are written to a folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import campaign
from tests.fuzz.corpus import KINDS


def main() -> int:
    """Run campaigns to the end of the time or count; return 1 where any found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--count", type=int, default=0, help="Mutants in all; 0: as time allows.")
    parser.add_argument("--seed", type=int, default=0, help="The first seed.")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--json", type=Path, default=None, help="Write the counts to this file.")
    asked = parser.parse_args()
    started, seed, done = time.monotonic(), asked.seed, 0
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    found = 0
    while time.monotonic() - started < 60 * asked.minutes and not 0 < asked.count <= done:
        for kind in KINDS:
            result = campaign(kind, 5000, seed)
            counts[kind].update(result.counts)
            done += 5000
            for _, outcome, content in result.findings:
                found += 1
                asked.out.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256(content).hexdigest()[:12]
                (asked.out / f"{kind}-{outcome}-{digest}").write_bytes(content)
        seed += 1
        print(f"{done:,} mutants, {found} findings, {time.monotonic() - started:.0f} s", flush=True)
    if asked.json:
        document = {
            "mutants": done,
            "findings": found,
            "first_seed": asked.seed,
            "counts": {kind: dict(sorted(some.items())) for kind, some in counts.items()},
            "wall_seconds": round(time.monotonic() - started),
            "python": platform.python_version(),
        }
        asked.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
