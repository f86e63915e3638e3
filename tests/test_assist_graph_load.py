"""A shop's tables: what is refused, and that the refusal names file, line and column."""

from __future__ import annotations

import shutil
from datetime import date

import pytest

from assist.graph.load import load_catalogue
from assist.graph.store import GraphStore
from assist.graph.tables import COLUMNS, DEMO_SHOP, TableError, read_tables


@pytest.fixture
def shop(tmp_path):
    return shutil.copytree(DEMO_SHOP, tmp_path / "shop")


def spoil(shop, table, old, new):
    path = shop / f"{table}.csv"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return next(
        number
        for number, (one, two) in enumerate(
            zip(text.splitlines(), path.read_text(encoding="utf-8").splitlines(), strict=False), 1
        )
        if one != two
    )


def test_the_demo_shop_loads_and_covers_the_shop():
    catalogue = load_catalogue()
    products = [one for one in catalogue.entities.values() if one.type == "product"]
    assert len(products) >= 20
    assert all(catalogue.values.get(one.id) for one in products), "a product without attributes"
    assert set(catalogue.questions) == {rule.question for rule in catalogue.rules.values()} | {"attribute"}
    assert sum(bool(rule.exception_of) for rule in catalogue.rules.values()) >= 20


def test_every_table_of_the_folder_is_read():
    assert {path.stem for path in DEMO_SHOP.glob("*.csv")} == set(COLUMNS)


@pytest.mark.parametrize(
    ("table", "old", "new", "column", "reason"),
    [
        ("kinds", "vacuum_cup,保温杯,drinkware", "vacuum_cup,保温杯,drinkwear", "parent", "no kind"),
        ("kinds", "home,家居用品,goods", "home,家居用品,drinkware", "parent", "above itself"),
        ("kinds", "custom_made=yes", "custom_made=3", "sets", "is a flag"),
        ("kinds", "mop,拖把,cleaning", "Mop,拖把,cleaning", "id", "must be a key"),
        ("kinds", "wok,炒锅,cookware", "mop,炒锅,cookware", "id", "twice"),
        ("products", "wok_iron,精铁炒锅,wok", "wok_iron,精铁炒锅,pan", "kinds", "no kind"),
        ("products", "铁锅|铁炒锅|生铁锅,139", "铁锅|铁炒锅|生铁锅,nan", "price", "finite"),
        ("products", "wok_iron,精铁炒锅", "wok_iron,", "zh", "empty"),
        ("product_attributes", "cup_mist,capacity,0.48", "cup_mist,capacity,一升", "value", "no number"),
        ("product_attributes", "cup_mist,capacity", "cup_mast,capacity", "product", "no product"),
        ("product_attributes", "cup_mist,capacity", "cup_mist,volume", "attribute", "no attribute"),
        ("product_attributes", "dishwasher,no", "dishwasher,maybe", "value", "not one of"),
        ("coupons", "平台红包,platform_coupon", "平台红包,goods", "parent", "no coupon"),
        ("facts", "opened,是否拆封,flag", "opened,是否拆封,bool", "type", "not one of"),
        ("facts", "签收后天数,number,天", "签收后天数,number,", "unit", "unit"),
        ("implications", "opened=no,used=no", "opened=no,days_since_signed<=7", "then", "only flags"),
        ("policies", "2026-10-20,2026-12-10", "2026-10-20,2026-02-30", "valid_until", "no day"),
        ("policies", "2026-10-20,2026-12-10", "2026-10-20,2026-10-01", "valid_until", "before valid_from"),
        ("questions", "coupon|promotion_rule", "coupon|promotions", "categories", "label schema"),
        ("rules", "in_time,return_no_reason", "in_time,return_anyway", "question", "no question"),
        ("rules", "days_since_signed<=7,yes", "days_since_signed=<7,yes", "when", "no condition"),
        ("rules", "days_since_signed<=7,yes", "days_since_bought<=7,yes", "when", "no fact"),
        ("rules", "used=yes,no,,return_in_time", "used=yes,no,,return_on_time", "exception_of", "no rule"),
        ("rules", "=yes,no,,return_in_time", "=yes,no,,price_in_time", "exception_of", "another question"),
        ("rules", "fresh,,,no,,return_in_time", "fresh,,,no,,return_card", "exception_of", "something else"),
        ("rules", "days_since_signed<=7,yes,7天,,签收", "days_since_signed<=7,yes,7天,return_used,签收",
         "exception_of", "exception of itself"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_named(shop, table, old, new, column, reason):
    line = spoil(shop, table, old, new)
    with pytest.raises(TableError, match=reason) as refused:
        load_catalogue(shop)
    assert f"{table}.csv:{line}: {column}: " in str(refused.value)


def test_a_missing_table_a_wrong_header_a_long_row_and_wrong_bytes_are_named(shop):
    path = shop / "kinds.csv"
    whole = path.read_bytes()
    for raw, reason in (
        (whole.replace(b"aliases", b"alias", 1), r"kinds\.csv:1: aliases"),
        (whole + b"x,y,z\n", r"kinds\.csv:\d+: .*3 cells where 5"),
        (whole + "杯".encode("gbk"), r"kinds\.csv:\d+: not UTF-8"),
        (whole + b'"open,\n', r"kinds\.csv:\d+: not CSV"),
    ):
        path.write_bytes(raw)
        with pytest.raises(TableError, match=reason):
            read_tables(shop)
    path.unlink()
    with pytest.raises(TableError, match=r"kinds\.csv: cannot be read"):
        read_tables(shop)


def test_the_version_follows_the_content_not_the_line_ends(shop):
    before = read_tables(shop).version
    path = shop / "kinds.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_tables(shop).version == before
    spoil(shop, "kinds", "拖布", "拖布布")
    assert read_tables(shop).version != before


@pytest.fixture(scope="module")
def store():
    return GraphStore(load_catalogue())


def test_rules_reach_a_product_through_its_kinds_and_expire_with_their_policy(store):
    found = {one.rule: one for one in store.rules_for("return_no_reason", "cup_engraved", date(2026, 11, 23))}
    assert found["return_custom"].scope == "goods"
    assert "return_sale_order" in found
    assert "return_intimate" not in found
    later = {one.rule for one in store.rules_for("return_no_reason", "cup_engraved", date(2027, 1, 1))}
    assert set(found) - later == {"return_sale_order", "return_sale_custom"}


def test_narrower_scopes_are_deeper_and_coupons_fit_both_ways_round(store):
    depth = {one.rule: one.depth for one in store.rules_for("warranty", "kettle_big", date(2026, 11, 23))}
    assert depth["warranty_kettle_big"] > depth["warranty_appliance"] > depth["warranty_none"]
    one = store.rules_for("coupons_combine", "shop_coupon", date(2026, 11, 23), "platform_coupon")
    other = store.rules_for("coupons_combine", "platform_coupon", date(2026, 11, 23), "shop_coupon")
    assert {r.rule for r in one} == {r.rule for r in other} == {"coupon_shop_platform", "coupon_flash"}


def test_sparql_is_open_to_readers_and_refuses_injection(store):
    rows = store.query("SELECT ?zh WHERE { :wok_iron :kind ?kind . ?kind rdfs:label ?zh }")
    assert [row["zh"].value for row in rows] == ["炒锅"]
    with pytest.raises(ValueError, match="sparql"):
        store.query("SELECT nothing")
    with pytest.raises(ValueError, match="no key"):
        store.rules_for("warranty", "x> ?p ?o . <urn:y", date(2026, 11, 23))


def test_the_saved_graph_is_sorted_triples(store, tmp_path):
    store.save(tmp_path / "graph.nt")
    lines = (tmp_path / "graph.nt").read_text(encoding="utf-8").splitlines()
    assert lines == sorted(lines)
    assert len(lines) == len(store)
