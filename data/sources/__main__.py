"""Stage `examples` of the pipeline: `python -m data.sources`."""

from __future__ import annotations

from data.sources.corpus import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
