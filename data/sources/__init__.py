"""Where examples come from: the embedded corpus, public sets, a user's own table, the Hugging Face hub.

`corpus` reads what the pipeline is made of. The others give `Rows` (`rows`): labelled texts in Arrow columns,
each text held once, which training reads as examples. `files` reads a local CSV, JSONL, Parquet or XLSX file
whose columns are named, `public` the sets of the folder `KEFU_DATASETS` by name, `hub` a data set of the
Hugging Face hub, `named` any of them by one word; `labels` makes a schema of any set of labels.
"""

from __future__ import annotations

from data.sources.corpus import CORPUS, main, read_corpus, read_source

__all__ = ["CORPUS", "main", "read_corpus", "read_source"]
