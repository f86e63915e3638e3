"""The picture of the graph, and the figures of its documentation."""

from __future__ import annotations

from datetime import date

import pytest

from assist.graph.measure import measure, understood
from assist.graph.picture import main, picture
from assist.graph.shop import ShopGraph


@pytest.fixture(scope="module")
def shop():
    return ShopGraph()


def test_a_picture_of_each_sort_of_product(shop, tmp_path):
    seen = set()
    for product in ("nuts_daily", "cup_engraved", "kettle_big"):
        png = picture(shop, product, "warranty", date(2026, 11, 23)).png
        assert png.startswith(b"\x89PNG")
        seen.add(png)
    assert len(seen) == 3
    main(["--product", "gift_card", "--out", str(tmp_path / "graph.png")])
    assert (tmp_path / "graph.png").stat().st_size > 5000


def test_unknown_names_are_refused(shop):
    with pytest.raises(ValueError, match="product: 'wok'"):
        picture(shop, "wok", "warranty", date(2026, 11, 23))
    with pytest.raises(ValueError, match="question: 'why'"):
        picture(shop, "wok_iron", "why", date(2026, 11, 23))


def test_the_figures_count_what_is_there(shop):
    found = measure(shop)
    assert found["triples"] == len(shop.store)
    assert found["questions_on_products"]["asked"] == 7 * found["products"]
    assert found["questions_on_products"]["answers"].get("unknown", 0) == 0


def test_the_written_messages_are_understood(shop):
    """A floor under the figures of docs/graph.md."""
    found = understood(shop)
    assert found["messages"] == 40
    assert found["question"] >= 38
    assert found["answer"] >= 36
    assert found.get("wrong_yes_or_no", 0) <= 1
