from __future__ import annotations

import copy

import pytest

from data.taxonomy import TaxonomyError, load_taxonomy, parse_taxonomy


def test_embedded_schema(taxonomy):
    assert len(taxonomy.categories) == 71
    assert len(taxonomy.groups) == 9
    assert [emotion.key for emotion in taxonomy.emotions][:2] == ["positive", "neutral"]
    assert [alert.level for alert in taxonomy.alerts] == [0, 1, 2, 3]
    labels = taxonomy.label_map("category")
    assert labels.id2label[labels.label2id["refund_progress"]] == "refund_progress"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw["categories"].append(dict(raw["categories"][0])), "occurs 2 times"),
        (lambda raw: raw["categories"][3].update(zh=raw["categories"][4]["zh"]), "categories: zh"),
        (lambda raw: raw["categories"][0].pop("definition"), r"categories\[0\]: definition"),
        (lambda raw: raw["categories"][0].update(nature="riddle"), "nature 'riddle'"),
        (lambda raw: raw["categories"][0].update(key="Product Spec"), "lower_snake_case"),
        (lambda raw: raw["categories"][0].update(colour="red"), "unknown field 'colour'"),
        (lambda raw: raw["emotions"][0].update(polarity="good"), "polarity 'good'"),
        (lambda raw: raw["alerts"].pop(1), "levels must run"),
        (lambda raw: raw["boundaries"].append("invoice / order_gift: x"), "'invoice' is no category"),
        (lambda raw: raw.update(categories=[]), "categories: expected a list"),
        (lambda raw: raw.pop("version"), "version"),
    ],
)
def test_contradiction_is_named(taxonomy, damage, message):
    raw = copy.deepcopy(taxonomy.raw)
    damage(raw)
    with pytest.raises(TaxonomyError, match=message):
        parse_taxonomy(raw)


def test_a_shop_can_bring_its_own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        """
version: 3
categories:
  - {key: hello, zh: 你好, group: talk, nature: inquiry, definition: 问候}
  - {key: buy, zh: 买, group: shop, nature: operation, definition: 想买}
emotions: [{key: calm, zh: 平静, polarity: neutral, definition: 平静}]
alerts: [{level: 0, zh: 无, when: 总是}]
""",
        encoding="utf-8",
    )
    own = load_taxonomy(path)
    assert own.label_map("category").labels == ("hello", "buy")


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(TaxonomyError, match=r"missing\.yaml"):
        load_taxonomy(tmp_path / "missing.yaml")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(TaxonomyError, match="not a YAML file"):
        load_taxonomy(tmp_path / "bad.yaml")
