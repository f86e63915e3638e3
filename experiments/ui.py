"""MLflow's page over the configured store."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from experiments.tracking import STATE, connect, store_uri

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve MLflow's page on localhost until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args(arguments)
    if not store_uri().startswith("sqlite"):
        raise SystemExit(f"MLFLOW_TRACKING_URI is {store_uri()}: the runs' page is there")
    connect()
    artifacts = (STATE.resolve() / "artifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store_uri()]
    command += ["--default-artifact-root", artifacts, "--host", "127.0.0.1", "--port", str(options.port)]
    command += ["--workers", "1"]
    raise SystemExit(subprocess.call(command))


if __name__ == "__main__":
    main()
