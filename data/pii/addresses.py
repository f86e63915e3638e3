"""Postal addresses: which chains of address components point at somebody's house.

A region alone (发浙江省) is no personal data; a road or site with a number is, and so is a house
with a flat, or a village below two regions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from data.pii.address_parts import TRIPLE, WEAK_UNIT, Part, chain
from data.pii.text import Hit
from data.pii.words import PROVINCES, REGION

__all__ = ["addresses"]

_BUILDING = re.compile(r"(?:栋|幢|橦|舍|号楼|单元|#|号院)$")
# Words of the sentence that can stand directly before an address.
_FILLER = re.compile(
    r"(?<=[我你咱们])[家妈爸]|新家(?!园)|寝室|麻烦|帮忙|直接|快递|新的?地址|详细地址|收货地址|地址|收货|现在|然后"
    r"|就|后面|加上|发到|发往|发去|发货|[发放]|公司|单位|学校|家里|老家|家住|住址|亲|你好|您好|好的|嗯|那|这边|位于|要"
    r"|来|去|货|件|包裹|全部|都|统一|一起|重新|用|看|有|和(?![平谐睦顺兴美])|跟|与|从|往|为|成(?!都)|住|写|买|退|回|搬"
)
_ADDRESS_LABEL = re.compile(
    r"(?:地址|地区|住址|寄[到往]?|发[到往]|收货|送[到往]|[改换]到|[改换]成|改为|换为|家住|住在|老家"
    r"|[我回]家)[是在为写: ]*$"
)
_FIRM_LABEL = re.compile(r"(?:址|地区|收货)[是为: ]*$")
_REGION_FIELD = re.compile(r"所在地区?: ?$")  # of a pasted form, down to the district
_ASKS = re.compile(
    r".{0,10}?(?:能送|能到|能发|送吗|到吗|发吗|可以|几天|多久|包邮|邮费|运费|有店|门店|配送|多少|有货"
    r"|有没有|吗|么|呢|\?|什么时候)"
)


_ABROAD = re.compile("香港|澳门|台湾|九龙|新界|港岛|氹仔|台北")


def _regions(kinds: str) -> int:
    return sum(kind in "PAT" for kind in kinds)


def _numbered_site(parts: list[Part], kinds: str, labelled: bool) -> bool:
    """Road, site or village with a number after it: 文三路100号, 幸福小区3栋."""
    site = re.search("[LRV]", kinds)
    after = [p for p in parts[site.end() :] if p.kind in "DN"] if site else []
    if not after:
        return False
    regions = _regions(kinds)
    if _ABROAD.match(parts[0].text) and len(re.findall("[LRV]", kinds)) > 1:
        return True  # there a building and its floor have no 号
    bare = all(p.kind == "N" and not re.search("[-#]", p.text) for p in after)
    if any(p.kind == "N" or not WEAK_UNIT.search(p.text) for p in after):
        sites = len(re.findall("[LRV]", kinds))
        if not bare or regions or labelled or sites > 1:
            return True
    return len(after) > 1 or (regions > 1 and not bare)


def _numbered_house(parts: list[Part], kinds: str) -> bool:
    """Details that need no known name before them: 3栋2单元, 5栋1203, 翡翠城8-1-1101."""
    details = [p for p in parts if p.kind in "DN"]
    strong = [p for p in details if p.kind == "N" or not WEAK_UNIT.search(p.text)]
    for before, part in itertools.pairwise(parts):
        # 天通苑北二区15号楼: a block of a housing estate, not a city district
        if before.kind == "A" and len(before.text) > 3 and re.search("(?:栋|幢|号楼)$", part.text):
            return True
    codes = any(re.search(r"[码号单版型款比分]$", p.text) for p in parts if p.kind == "X")
    if "X" in kinds and not codes and any(re.fullmatch(TRIPLE, p.text) for p in details):
        return True
    units = {re.sub(r"^.*\d ?", "", p.text) for p in details}  # "1栋和2栋" compares two houses
    if len(units) > 1 and strong and any(_BUILDING.search(p.text) for p in details):
        return True
    tower = details[1:] if details and details[0].text.endswith("期") else details
    if len(strong) > 1 and tower and re.search(r"[A-Za-z]座$", tower[0].text):
        return True  # 国贸三期B座2806
    return bool(strong) and "T" in kinds and parts[kinds.index("T")].end <= strong[-1].start


def _is_address(text: str, parts: list[Part]) -> bool:
    """Decide whether a chain of components points at a house and not merely at a region."""
    kinds = "".join(p.kind for p in parts)
    head = text[max(0, parts[0].start - 8) : parts[0].start]
    labelled = bool(_ADDRESS_LABEL.search(head))
    if _numbered_site(parts, kinds, labelled) or _numbered_house(parts, kinds):
        return True
    if _REGION_FIELD.search(head) and _regions(kinds) > 2:
        return True
    # no number, but a village or a site under at least two regions, and not "...能送吗"
    site = re.search("[LRV]", kinds)
    above = kinds[: site.start()] if site else kinds
    if _regions(above) < 2 or not (site or "T" in kinds):
        return False
    regions = _regions(kinds)
    if _FIRM_LABEL.search(head) or ("TV" in kinds and regions > 3):
        return True
    end = parts[-1].end
    return not _ASKS.match(text[end : end + 14]) and (labelled or bool(site) or regions > 3)


def _trim(text: str, part: Part) -> int:
    """Return where the first component really starts, past filler words and a person's name."""
    start = part.start
    if part.kind in "PDN":
        return start
    for match in REGION.finditer(text, start + 1, part.end):
        prefix = text[start : match.start()]
        full = re.search(r"[省市区州盟]$", match.group()) or match.group() in PROVINCES
        told = full or re.search(r"[发往于住去来回为成]$", prefix)
        if told and not re.search(r"[路街道村]$", prefix):
            return match.start()
    while (filler := _FILLER.match(text, start)) and filler.end() < part.end - 1:
        start = filler.end()
    return start


def addresses(text: str) -> Iterator[Hit]:
    """Yield postal addresses in a text whose numbers and accounts are already blanked."""
    pos = 0
    while pos < len(text):
        inside_number = pos and text[pos].isdigit() and text[pos - 1].isdigit()
        parts = [] if inside_number else chain(text, pos)
        if parts and _is_address(text, parts):
            yield _trim(text, parts[0]), parts[-1].end, "address"
            pos = parts[-1].end
        else:
            pos += 1
