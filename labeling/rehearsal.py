"""The labelling loop rehearsed: simulated people label embedded conversations on a real server.

Their mistakes are drawn at random with a known rate, so one can see whether agreement, resolution and
adjudication find what they should. They answer through the server's API, each with an account.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.example import Example
from data.sources import CORPUS, read_corpus
from data.taxonomy import TASKS, Taxonomy, load_taxonomy
from labeling.accounts import Account, add_annotator
from labeling.client import LabelStudio, Login, find_login
from labeling.project import Project, init_project
from labeling.push import Chat, push, tasks_with
from labeling.suggest import Suggest
from labeling.task import parse_task

__all__ = ["TEAM", "Rehearsal", "SimulatedAnnotator", "answer_of", "choose_chats", "main", "rehearse"]


@dataclass(frozen=True, slots=True)
class SimulatedAnnotator:
    """A person who errs at a known rate."""

    name: str
    care: float
    """Share of answers that are right, for each of category and emotion."""
    seconds: float
    """Median time for one task."""
    care_at_end: float | None = None
    """Care changes evenly from `care` to this; None: it stays."""
    undecided: float = 0.01
    """Share of tasks flagged as undecidable."""


TEAM = (
    SimulatedAnnotator("careful", 0.97, 14.0),
    SimulatedAnnotator("good", 0.94, 11.0),
    SimulatedAnnotator("careless", 0.65, 4.0),
)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was set up, and the truth that the simulated people erred from."""

    project: Project
    accounts: dict[str, Account]
    """By the simulated annotator's name."""
    truth: dict[str, Example]
    """By task key."""
    answers: int


def choose_chats(count: int, seed: int = 0, folder: Path = CORPUS) -> list[Example]:
    """Customer turns of whole embedded conversations, as many conversations as give `count` turns."""
    conversations: dict[str, list[Example]] = {}
    for example in read_corpus(folder):
        if example.conversation:
            conversations.setdefault(example.conversation, []).append(example)
    names = sorted(conversations)
    chosen: list[Example] = []
    for index in np.random.default_rng(seed).permutation(len(names)):
        chosen.extend(conversations[names[index]])
        if len(chosen) >= count:
            break
    return chosen[:count]


def rehearse(
    lead: Login,
    taxonomy: Taxonomy,
    examples: Sequence[Example],
    team: Sequence[SimulatedAnnotator] = TEAM,
    suggest: Suggest | None = None,
    title: str = "标注演练",
    seed: int = 0,
) -> Rehearsal:
    """Push the examples, without their labels, and let every person of the team answer every task."""
    server = LabelStudio(lead)
    project, _ = init_project(server, taxonomy, title, annotators=len(team))
    chats = [Chat(row.text, row.context, row.conversation, row.id) for row in examples]
    truth = {chat.key: row for chat, row in zip(chats, examples, strict=True)}
    push(server, project.id, chats, tasks_with(suggest, taxonomy))
    tasks = [parse_task(raw) for page in server.tasks(project.id) for raw in page]
    mark = f"{project.id}-{np.random.SeedSequence().entropy % 10**6}"  # type: ignore[operator]
    accounts = {one.name: add_annotator(lead, f"{one.name}-{mark}@kefu.local") for one in team}
    hidden = None if len(tasks) >= 50 else True
    with tqdm(total=len(tasks) * len(team), unit="answer", disable=hidden) as progress:

        def work(place: int) -> int:
            person = team[place]
            desk = LabelStudio(accounts[person.name].login)
            answers = _answers(person, [truth[task.key] for task in tasks], taxonomy, seed + place)
            for task, (result, seconds) in zip(tasks, answers, strict=True):
                desk.annotate(task.id, result, seconds)
                progress.update()
            return len(tasks)

        with ThreadPoolExecutor(len(team)) as pool:
            count = sum(pool.map(work, range(len(team))))
    return Rehearsal(project, accounts, truth, count)


def _answers(
    person: SimulatedAnnotator, truth: Sequence[Example], taxonomy: Taxonomy, seed: int
) -> Iterator[tuple[list[dict[str, Any]], float]]:
    generator = np.random.default_rng([seed, 17])
    end = person.care if person.care_at_end is None else person.care_at_end
    for place, example in enumerate(truth):
        care = person.care + (end - person.care) * place / max(len(truth) - 1, 1)
        seconds = float(person.seconds * generator.lognormal(0, 0.4))
        if generator.random() < person.undecided:
            yield answer_of(undecided=True), seconds
            continue
        chosen: dict[str, str] = {}
        for kind in TASKS:
            right = getattr(example, kind)
            chosen[kind] = right if generator.random() < care else _mistake(kind, right, taxonomy, generator)
        yield answer_of(chosen["category"], chosen["emotion"]), seconds


def _mistake(kind: str, right: str, taxonomy: Taxonomy, generator: np.random.Generator) -> str:
    """Mostly a category of the same group, as people confuse them; else any other label."""
    others = [key for key in getattr(taxonomy, kind) if key != right]
    if kind == "category" and generator.random() < 0.7:
        group = taxonomy.category[right].group
        near = [key for key in others if taxonomy.category[key].group == group]
        others = near or others
    return str(generator.choice(others))


def answer_of(
    category: str | None = None, emotion: str | None = None, undecided: bool = False
) -> list[dict[str, Any]]:
    """The `result` of an annotation, as the labelling interface sends it."""
    chosen = {"category": category, "emotion": emotion, "undecided": "undecided" if undecided else None}
    return [
        {"from_name": name, "to_name": "chat", "type": "choices", "value": {"choices": [value]}}
        for name, value in chosen.items()
        if value
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a labelling project with the answers of three simulated people, to look at."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--title", default="标注演练")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    examples = choose_chats(options.tasks, options.seed)
    done = rehearse(find_login(), load_taxonomy(), examples, title=options.title, seed=options.seed)
    print(
        f"project {done.project.id} ({done.project.title}): {done.answers} answers to {len(examples)} tasks"
    )


if __name__ == "__main__":
    main()
