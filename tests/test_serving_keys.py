"""API keys: hashes at rest, comparison, rates."""

from __future__ import annotations

import time

import pytest

from serving import keys as keys_module
from serving.keys import ApiKeyError, KeyRing, add_key, open_keys, read_keys, remove_key


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def test_only_hashes_stand_in_the_file_which_nobody_else_reads(file):
    tokens = [add_key(file, "one"), add_key(file, "two", 3)]
    assert len(set(tokens)) == 2
    text = file.read_text(encoding="utf-8")
    assert not any(token in text or token.removeprefix("kefu_") in text for token in tokens)
    assert file.stat().st_mode & 0o777 == 0o600
    remove_key(file, "one")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [(key.name, key.rate) for key in read_keys(file)] == [("two", 3)]


def test_names_are_unique_and_rates_positive(file):
    add_key(file, "desk")
    with pytest.raises(ApiKeyError, match="kefu keys remove desk"):
        add_key(file, "desk")
    for rate in (0, -1, float("nan")):
        with pytest.raises(ApiKeyError, match="rate"):
            add_key(file, "other", rate)
    with pytest.raises(ApiKeyError, match="kefu keys list"):
        remove_key(file, "nobody")


def test_every_key_is_compared_and_in_constant_time(file, monkeypatch):
    tokens = [add_key(file, f"key{n}") for n in range(5)]
    ring, compared = KeyRing(file), []

    def counted(one, other):
        compared.append(one)
        return one == other

    monkeypatch.setattr(keys_module.hmac, "compare_digest", counted)
    for token, name in ((tokens[0], "key0"), (tokens[4], "key4"), ("wrong", None)):
        compared.clear()
        found = ring.find(token)
        assert (found and found.name) == name
        assert len(compared) == 5


def test_a_file_that_is_damaged_at_the_start_is_refused(file):
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(ApiKeyError, match=r"keys\.json"):
        open_keys(file)


def test_a_rate_is_kept_and_says_when_to_come_back(file, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: clock[0])
    token, other = add_key(file, "slow", 2), add_key(file, "other", 2)
    ring = KeyRing(file)

    def granted(token, asked):
        key = ring.find(token)
        return sum(ring.wait(key) == 0 for _ in range(asked))

    assert granted(token, 10) == 4  # twice the rate at once
    assert 0 < ring.wait(ring.find(token)) <= 0.5
    clock[0] += 1
    assert granted(token, 10) == 2
    assert granted(other, 10) == 4, "a key has its own allowance"
    clock[0] += 3600
    assert granted(token, 10) == 4, "rest is not saved up"


def test_the_clock_of_the_wall_has_no_say(file, monkeypatch):
    token = add_key(file, "slow", 1)
    ring = KeyRing(file)
    key = ring.find(token)
    while not ring.wait(key):
        pass
    now = time.time()
    monkeypatch.setattr(keys_module.time, "time", lambda: now + 86_400)
    assert ring.wait(key) > 0


def test_workers_share_a_rate(file):
    token = add_key(file, "desk", 4)
    ring = open_keys(file, workers=2)
    key = ring.find(token)
    assert sum(ring.wait(key) == 0 for _ in range(20)) == 4
