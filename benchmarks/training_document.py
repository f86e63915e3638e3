"""The sections of docs/benchmarks.md about training: words, commands, and figures where there are some."""

from __future__ import annotations

from typing import Any

from benchmarks.training_report import table

__all__ = ["document_training"]

_SPEED = """## Speed of training

The same encoder, rows, epochs, batch size, longest input and precision on both sides, one process for each
measurement, by turns, medians over the rounds. Samples a second count training steps; the time to the target
counts all from raw texts to the first validation that reaches the lower of the two sides' best scores.
`Trainer` is measured at its own default learning rate and at ours; the time is that of the better. It saves
no checkpoints, our training one an epoch. `benchmarks/training.py` names what differs; `--switches` measures
ours with one difference switched off, or theirs with one of our ways.
"""
_SCALING = """## Cost against rows and classes

Made-up messages, one epoch of an encoder cut to three layers, each point a process of its own. The exponent
is the slope of log seconds over log size: 1 is linear.

    python -m benchmarks.training_scaling --output benchmarks/training_scaling.json \\
        --picture docs/training-scaling.png
"""
_MEMORY = """## Memory of long files

Above 200,000 rows a split stays in its Arrow file (`data.arrow_rows`), and `python -m data.stream_snapshot`
makes such a snapshot without reading it whole. Vocabulary, lengths, labels, class weights and batches read
all rows block by block and give the same network bit for bit; what stays in memory is a few numbers a row.
Validation sees at most 50,000 rows and the n-gram view at most 100,000, drawn evenly. Each size is one
process that may allocate no more than the limit (`RLIMIT_DATA`): it reads all rows, trains for some steps,
validates, fits the n-gram view and calibrates.

    python -m benchmarks.training_memory --layers 3 --cap 6000 \\
        --output benchmarks/training_memory.json --picture docs/training-memory.png
"""
_SEVERAL = """## Several devices

`train.devices: 4` trains on four GPUs (or, to try it, processes of a CPU). Each takes its share of every
batch, so `train.batch_size` and the learning rates mean what they mean on one. Only the loop runs in them:
there is one report and one tracked run. `tests/test_training_ddp.py` runs it on two processes and counts
every row.
"""


_NOT_YET = ["Not measured yet.", ""]


def document_training(
    training: dict[str, Any] | None = None,
    scaling: dict[str, Any] | None = None,
    memory: dict[str, Any] | None = None,
) -> str:
    """The sections, with the figures of those JSON files that are given."""
    parts = [_SPEED, *_speed(training), _SCALING, *_scaling(scaling), _MEMORY, *_memory(memory), _SEVERAL]
    return "\n".join(parts)


def _machine(report: dict[str, Any]) -> str:
    return f"{report['machine']['cores']} cores of {report['machine']['cpu']}"


def _command(*words: str) -> list[str]:
    return [
        f"    python -m benchmarks.training{''.join(words)} \\",
        "        --output benchmarks/training.json --picture docs/training.png",
        "",
    ]


def _speed(report: dict[str, Any] | None) -> list[str]:
    if report is None:
        return [*_command(" --data banking77", " --switches"), *_NOT_YET]
    setup, ratios = report["setup"], report["ratios"]
    rounds = max(one["rounds"] for one in report["summary"].values())
    given = f" --data {setup['data']}" + (f" --limit {setup['limit']}" if setup.get("limit") else "")
    switches = " --switches" if "ours_random_batches" in report["summary"] else ""
    lines = [*_command(given, f" --rounds {rounds}{switches}"), table(report), ""]
    if "samples_per_second_vs_hf_trainer" in ratios:
        told = [f"{ratios['samples_per_second_vs_hf_trainer']:.1f} times the samples a second"]
        if "time_to_score_vs_hf_trainer" in ratios:
            told.append(f"the target {ratios['time_to_score_vs_hf_trainer']:.1f} times as fast")
        lines += [f"At the same precision: {', '.join(told)}.", ""]
    lines += [
        f"{setup['data']}, {setup['epochs']} epochs, batches of {setup['batch_size']}, {_rounds(rounds)}, "
        f"seeds from 7; {_machine(report)}. Target: macro-F1 {report['target_macro_f1'] or 0:.3f} on "
        f"held-out rows of the training file. {report.get('remark', '')}".rstrip(),
        "",
        "![Where the time goes, and the score over time](training.png)",
        "",
    ]
    return lines


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _scaling(report: dict[str, Any] | None) -> list[str]:
    if report is None:
        return _NOT_YET
    lines: list[str] = []
    for axis in ("rows", "classes"):
        told = report["summary"][axis]
        stages = list(told["seconds"])
        head = "".join(f" {stage} | memory of {stage} |" for stage in stages)
        lines += [f"| {axis} |{head}", "|---|" + "---|---|" * len(stages)]
        for index, size in enumerate(told["sizes"]):
            cells = [
                cell
                for stage in stages
                for cell in (
                    f"{told['seconds'][stage][index] or 0:.0f} s",
                    f"{(told['peak_mb'][stage][index] or 0) / 1024:.2f} GB",
                )
            ]
            lines.append(f"| {size:,} | {' | '.join(cells)} |")
        slopes = [f"{stage} {told['exponents'][stage] or 0:.2f}" for stage in stages]
        lines += ["", f"Exponents over {axis}: {', '.join(slopes)}.", ""]
    return [*lines, f"{_machine(report)}.", "", "![Cost of training](training-scaling.png)", ""]


def _memory(report: dict[str, Any] | None) -> list[str]:
    if report is None:
        return _NOT_YET
    names = {"stream": "from Arrow", "lists": "rows as lists"}
    lines = ["| | rows | allocated | resident | seconds |", "|---|---|---|---|---|"]
    for one in report["results"]:
        start = f"| {names[one['way']]} | {one['rows']:,} |"
        if "failed" in one:
            lines.append(f"{start} {one['failed']} | | |")
            continue
        peak, seconds = one["peak_mb"], sum(one["seconds"].values())
        allocated, resident = (f"{peak[kind] / 1024:.2f} GB" for kind in ("allocated", "resident"))
        lines.append(f"{start} {allocated} | {resident} | {seconds:.0f} s |")
    growth = [f"{names[way]} {bytes_:.0f} bytes" for way, bytes_ in report["bytes_per_row"].items() if bytes_]
    caps = sorted({one["cap"] for one in report["results"] if one["cap"]})
    limit = f" Limit: {caps[0] / 1024:.1f} GB." if caps else ""
    told = f"Each further row allocates: {', '.join(growth)}.{limit} Resident memory counts pages of the "
    lines += ["", told + f"mapped file, too, which the system drops when it needs them. {_machine(report)}."]
    return [*lines, "", "![Peak memory against rows](training-memory.png)", ""]
