"""MLflow's page over the configured store, opened on the columns that a reviewer compares."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

from experiments.tracking import EXPERIMENT, STATE, connect, store_uri

__all__ = ["COLUMNS", "main", "save_view", "view_path"]

VIEW = "kefu-review"
COLUMNS = (
    "metrics.`test/category_macro_f1`",
    "metrics.`test/category_top3`",
    "metrics.`test/category_ece`",
    "metrics.`test/emotion_macro_f1`",
    "metrics.`test/emotion_angry_recall`",
    "metrics.`test/emotion_ece`",
    "metrics.`latency_ms`",
    "metrics.`size_mb`",
    "params.`train.epochs`",
    "tags.`snapshot`",
    "attributes.`Dataset`",
    "attributes.`Models`",
)
"""In this order, beside the run's name and age."""


def save_view() -> str:
    """Keep the view with the experiment, as MLflow's own "share" button does; returns the experiment's id.

    MLflow reads shared views from experiment tags; a newer save replaces the older one, and what people
    save under *Views* on the page stays apart from it.
    """
    client = connect()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    state = {
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": {name: 7 * len(name.partition("`")[2]) + 40 for name in COLUMNS},
        "orderByKey": "metrics.`test/category_macro_f1`",
        "orderByAsc": False,
    }
    client.set_experiment_tag(experiment.experiment_id, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))
    return str(experiment.experiment_id)


def view_path(experiment: str) -> str:
    """Where a server shows the view, after its address."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve MLflow's page on localhost until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args(arguments)
    uri = store_uri()
    if uri.startswith("http"):
        raise SystemExit(f"the runs' page is {uri.rstrip('/')}{view_path(save_view())}")
    if not uri.startswith("sqlite"):
        raise SystemExit(f"MLFLOW_TRACKING_URI is {uri}: the runs' page is where its server runs")
    print(f"runs, with the columns that matter: http://127.0.0.1:{options.port}{view_path(save_view())}")
    artifacts = (STATE.resolve() / "artifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri()]
    command += ["--default-artifact-root", artifacts, "--host", "127.0.0.1", "--port", str(options.port)]
    command += ["--workers", "1"]
    sys.stdout.flush()
    raise SystemExit(subprocess.call(command))


if __name__ == "__main__":
    main()
