"""The grammar of postal addresses: an address is a chain of components.

Each component has a kind: P a province or city known by name, A another administrative unit
(区, 县...), T a town (镇, 街道...), R a road, L a site (小区, 大学...), V a village, D a numbered
detail (3幢, 501室), N a bare or dashed number, X words before a number.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from data.pii.text import HAN
from data.pii.words import REGION

__all__ = ["TRIPLE", "WEAK_UNIT", "Part", "chain"]

# Characters that end a place name to the left: they belong to the sentence around the address...
_STOP = "的了吗呢吧啊呀嘛么在是到给把让被你我他她它您们这那哪谁怎几没不请烦帮个该还也很再又改换寄送填收"
# ...except in these real names.
_INNER = rf"(?:(?=让胡路|改革|那大|几江|个旧|(?<=自)在城)|(?![{_STOP}]))"
_NC = rf"{_INNER}[\u4e00-\u9fffA-Za-z0-9·]"
_NC1 = rf"{_INNER}[\u4e00-\u9fffA-Z]"
_CN = "零〇一二两三四五六七八九十百"
_NUM = (
    r"(?:(?:[甲乙丙]|(?<![A-Za-z])[A-Za-z]{1,2})?\d{1,5}[A-Za-z]?(?:[-之]\d{1,4}[A-Za-z]?)?"
    rf"|[{_CN}]{{1,6}}|(?<![A-Za-z])[A-Za-z]|[甲乙丙丁戊东西南北中])"
)
_HOUSE = (
    r"(?:号楼|号院|#楼|栋|幢|橦|座|单元|(?<=\d)#|舍(?!得)|(?<=\d)斋|(?<=\d)苑(?= ?\d)|号公寓楼?|号宿舍楼?)"
)
_UNIT = (
    rf"(?:{_HOUSE}|号门(?!口)|号厂房|号库房|号铺|号商铺|号店|号(?![色球线针款码仓机路桥链电])|门(?!口)"
    r"|楼(?![上下梯道])|楼(?=上班)|层|室(?!\d厅|[一二两三]厅)|户|(?<=\d{3})房间|房(?!间)|寝室?|宿舍|组|队|社(?!区)|梯"
    r"|(?<=\d)支?弄|巷|期|区|排|院|[Ff](?![A-Za-z]))"
)
WEAK_UNIT = re.compile(r"(?<!号)(?:门|楼|层|期|区|排|院|[Ff])$")
_DET = re.compile(
    rf"(?:第|附|负)?{_NUM} ?{_UNIT}(?:[甲乙丙丁](?![单座栋幢号])|之[一二三四五六\d]"
    r"|(?<=[楼层Ff]) ?[A-H](?![A-Za-z\d栋座区室户单]))?"
)
_DASHED = re.compile(r"\d{1,3}[A-Za-z]?(?:[-#/][A-Za-z]?\d{1,5}[A-Za-z]?){1,3}(?:室|号)?(?![\d:.])")
TRIPLE = r"\d{1,3}[-#]\d{1,2}-(?:\d{3,4}|\d{1,2}-\d{1,4})(?!\d)"  # 8-1-1101: house-entrance-flat
_BARE = re.compile(
    rf"(?:[A-Za-z]?-?\d{{2,5}}[A-Za-z]?|\d{{1,2}}[A-H]|[{_CN}]{{3,4}})(?![\d%.:*A-Za-z]"
    r"| ?(?:元|块|个|件|天|点|月|日|年|分|斤|码|米|岁|条|双|套|箱|平))"
)

_TOWN = r"街道办事处|街道办|街道|镇(?![定静])|乡(?![下村亲])|苏木|农场|林场"
_VILLAGE = rf"村委会|村(?!长)|[庄屯寨堡营沟坪坝](?= ?(?:\d|村|[东西南北])|(?!{HAN}))"
_SUFFIXES = (
    (
        "L",
        r"小区|社区|花园|花苑|公寓|大厦|广场|写字楼|大学|学院|中学|小学|学校|校区|医院|宿舍|家属院|家属楼"
        r"|教师楼|科技园|工业园区?|产业园区?|创意园区?|软件园|物流园|工业区|开发区|示范区|园区|家园|佳苑"
        r"|新村|新城|名都|豪庭|公馆|府邸|别墅|山庄|商城|商厦|商贸城|国际城?|中心|大楼|商务楼|综合楼|大院|公司|工厂|酒店"
        r"|宾馆|市场|超市|银行|幼儿园|居委会?|村委会?|派出所|法院|车站|机场|码头|交叉口|交汇处|路口|部队"
        r"|监狱|药店|专卖店|基地",
    ),
    (
        "A",
        r"特别行政区|经济技术开发区|经济开发区|高新技术开发区|高新区|新区|自治区|自治州|自治县|自治旗|地区"
        r"|(?:(?<![超城门上夜都集])|(?<=[麻邹禹韩肥诸永项丰兴藁虞海东桐凤]城))市(?![场面民])"
        r"|省(?![钱事心去下])|(?<![小社校园片专地分])区(?![别分间])|县(?!城)|县城|旗(?![舰袍])|盟",
    ),
    ("T", _TOWN),
    (
        "R",
        r"大道|大街|街(?![道舞头拍上])|路(?![由上线过费边])|胡同|巷|弄(?= ?\d)|国道|省道|县道|公路"
        r"|环线|(?<=[东西南北中一二三四五六])段|支路|道(?= ?\d)|里(?= ?\d)|条(?= ?\d+号)",
    ),
    (
        "L",
        r"[苑园府城湾庭郡都邸墅阁轩居院坊寓厦里台]"
        rf"(?= ?(?:{_NUM} ?(?:{_HOUSE}|期)|{TRIPLE}))",
    ),
    (
        "L",  # Hong Kong: 美林邨美枫楼1714室, 金殿台12楼C室
        r"邨|屋苑|[楼阁台苑斋轩舍](?= ?\d{3,4}室)|[楼阁台苑轩](?= ?\d{1,2}(?:楼|层|/F) ?(?:[A-Z]|\d{1,4})室?)"
        r"|[斋苑舍](?= ?\d{3,4}(?!\d))",
    ),
    ("V", _VILLAGE),
)
_SUFFIX = "|".join(f"(?:{pattern})" for _, pattern in _SUFFIXES)
_TYPED = tuple((kind, re.compile(f"(?:{pattern})")) for kind, pattern in _SUFFIXES)
# At most four suffixes in a run (…村委会, …花园小区): more would make "路路路…" quadratic.
_NAMED = re.compile(rf"{_NC1}(?:{_NC}){{0,9}}?(?P<suffixes>(?:{_SUFFIX}){{1,4}})")
_GENERIC = re.compile(
    rf"(?![和与跟或及]){_NC1}(?:{_NC}){{0,8}}?"
    rf"(?= ?(?:第?{_NUM} ?(?:{_HOUSE}|期)|{TRIPLE}))"
)
# After another component a bare word will do: 3号写字楼1509, 天马路延长线55号.
_SUFFIX_ONLY = re.compile(
    r"写字楼|[主副附裙配北南东西]楼|[A-Z东西南北]塔楼?|办公楼|教学楼|宿舍楼?|公寓楼?|延长[线段]|车间|厂房|门面房?|商铺|[东西南北中]路|大厦|商城|大学"
    r"|学院|中学|小学|[东西南北]校[区园]|[梅兰竹菊桃李桂松](?=\d{1,2}(?:楼|舍|栋|斋))|门卫室?|保安室|传达室|\d{1,3}(?:号?路|街|马路|国道|省道|县道)"
)
_GROUP = re.compile(rf"(?:{_NC1}){{1,4}}[组队](?![合成织长装件队员伍])")  # 中华村大湾组
_CODED_SITE = re.compile(r"[A-Z]?\d{1,3}(?:公寓|宿舍楼?|大厦|写字楼)")
# Between a road and a number a place may stand whose name says nothing: 南路国际大巴扎56号.
_BETWEEN = re.compile(
    rf"(?:(?![发寄送拍买货付退价有]){_NC}){{2,8}}?"
    rf"(?=\d{{1,4}}(?:号|室|组|楼)|[{_CN}]{{1,3}}(?:组|队|社)(?!区))"
)
_GLUE = re.compile(r"(?:[ ,、\-/;]|\n(?=[^\n])|旁边?|[那这]边|里面|对面|附近|隔壁|\([^()\n]{1,14}\)){0,3}")


class Part(NamedTuple):
    """One component of an address: its kind (see above) and where it stands in the text."""

    kind: str
    start: int
    end: int
    text: str


def _suffix_kind(match: re.Match[str]) -> str:
    """Tell which kind of suffix ends a named component (the last one of a run counts)."""
    pos, kind = match.start("suffixes"), ""
    while pos < match.end("suffixes"):
        for name, pattern in _TYPED:
            if found := pattern.match(match.string, pos):
                kind, pos = name, found.end()
                break
        else:
            break
    return kind


def _part(text: str, pos: int, last: Part | None) -> Part | None:
    """Parse one component at `pos`; what may stand there depends on the component before."""
    before = last.kind if last else ""
    if before and before in "DNLVRX" and (found := _DASHED.match(text, pos)):
        return Part("N", *found.span(), found.group())
    if found := _DET.match(text, pos):
        return Part("D", *found.span(), found.group())
    if last and (found := _SUFFIX_ONLY.match(text, pos)):
        return Part("L", *found.span(), found.group())
    if last and before in "DLNVRT" and (before in "DN" or "," not in text[last.end : pos]):
        if found := _CODED_SITE.match(text, pos):
            return Part("L", *found.span(), found.group())
        if found := _BARE.match(text, pos):
            return Part("N", *found.span(), found.group())
    if before == "V" and last and pos == last.end and (found := _GROUP.match(text, pos)):
        return Part("D", *found.span(), found.group())
    if found := REGION.match(text, pos):
        return Part("P", *found.span(), found.group())
    if found := _NAMED.match(text, pos):
        return Part(_suffix_kind(found), *found.span(), found.group())
    if found := _GENERIC.match(text, pos):
        return Part("X", *found.span(), found.group())
    if before and before in "TRVLD" and (found := _BETWEEN.match(text, pos)):
        return Part("X", *found.span(), found.group())
    return None


def chain(text: str, pos: int) -> list[Part]:
    """Parse address components one after another from `pos`."""
    parts: list[Part] = []
    while len(parts) < 24:  # far beyond real addresses; keeps endless input linear
        if parts and (glue := _GLUE.match(text, pos)):
            pos = glue.end()
        part = _part(text, pos, parts[-1] if parts else None)
        if part is None:
            break
        parts.append(part)
        pos = part.end
    while parts and parts[-1].kind in "XP":  # a region at the end opens the next thing said
        parts.pop()
    return parts
