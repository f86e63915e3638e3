"""Personal names, by their context: labels, titles, introductions, signatures, numbers beside them.

The text's numbers and addresses are already blanked, so that a blank vouches for the name beside
it; `data.pii.name_forms` judges the form of the name itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.pii.foreign_names import latin_end, latin_names, transcribed_end, transcribed_names
from data.pii.name_forms import HAN_CHAR, HAN_WORD, boundary, name_end, surname
from data.pii.text import CONTACT, HAN, PHONE, PLACE, Hit
from data.pii.words import COMMON, EVERYDAY_SURNAMES, GIVEN, NAME_WORDS, NEVER, REGION, SURNAMES

__all__ = ["names"]

_TITLE = (
    r"(?:先生|女士|小姐姐?|太太|老师|阿姨|叔叔|大哥|大姐|大爷|大妈|爷爷|奶奶|伯伯|师傅|经理|医生|同学"
    r"|老板|主任)"
)
_SHORT_TITLE = r"[总姐哥嫂工叔姨]"
_TITLED = re.compile(rf"(?P<name>{HAN}{{1,3}}?)(?:{_TITLE}|{_SHORT_TITLE})")
_ANY_TITLE = re.compile(rf"{_TITLE}|{_SHORT_TITLE}")
_KIN = (
    r"(?:老公|老婆|妈妈?|爸爸?|同事|男?朋友|女朋友|[男女]友|儿子|女儿|闺女|弟媳|儿媳|媳妇|婆婆|公公|对象|室友"
    r"|弟弟|妹妹|姐姐|哥哥|嫂子|女婿|妹夫|姐夫|[表堂][哥弟姐妹]|侄[子女]|外甥女?|孙[子女]|闺蜜|孩子|宝宝|邻居|奶奶"
    r"|爷爷|姥姥|姥爷|外婆|外公|爱人|先生|太太|丈夫|妻子|岳[父母]|同学|领导|老板|助理|秘书|徒弟"
    r"|[哥姐弟妹嫂姑姨舅叔])"
)
_LABEL = re.compile(
    r"(?P<label>收件人|收货人|收件方|收件(?![人方地时信码箱了的吗])|收货(?=[ :])"
    r"|联系人|签收人|寄件人|发件人|取件人|提货人|收款人|付款人|领取人|接收人"
    r"|开户人|开户名|账户名|户主|户名|持卡人|卡主|机主|购买人|下单人|订购人|投保人|申请人|乘客|乘车人"
    r"|入住人|真实姓名|真名|姓名|名字|全名|个人(?:发票)?(?=[ :])|署名|落款|签名|名叫|我叫|本人"
    rf"|人叫|[一有那]个叫|抬头|{_KIN}的?(?:名字)?(?:是|叫))"
    r"(?P<link>(?: ?(?:姓名|名字|名|是我|用|我?(?:妈妈?|爸爸?|老公|老婆|媳妇|同事|朋友"
    r"|[哥姐弟妹]{1,2})|个人|\(个人\)|就是|就|是|叫做?|为|写的?成?了?"
    r"|[改换]一?下(?=[ ,:])|改(?:成|为)?了?|换成|换为|填|写"
    r"|[-:,=【\[(\"“])){0,4} *)"
)
_CORRECTED = re.compile(
    r"不是[我他她][ ,]{0,2}(?:而?是|叫)|应该?是|应为|正确的?是|而?不是|改成了?|改为|换成了?"
)
_NICK = re.compile(rf"{HAN}{{2,4}}(?!{HAN})")
_HELPER = re.compile(rf"(?<=[找叫])[小阿老]{HAN}(?!{HAN})|[小阿老]{HAN}(?=代收|签收)")
_FAMILIAR = re.compile(rf"[小阿老]{HAN}(?!{HAN})")
_LATIN_NAME = re.compile(r"[A-Za-z]{2,15}(?: [A-Za-z]{2,15}){0,2}(?![A-Za-z\d])")
_NOT_NICK = re.compile(f"[{''.join(sorted(NEVER))}同无空本先再等待另见地]")
_BUYER = re.compile(r"(?:买家|客户|顾客|用户|会员|学生|业主|租客|户主|员工)(?:叫|是|:| )?")
_INTRO = re.compile(
    r"(?<![不就都还也说])(?:我是|这是|我名|名为|叫|让|寄给|交给|送给|发给|转给|找|联系)"
    r"|备注(?:是|写|:)?|助理|秘书|会计|司机|经理|财务|写成|写上|写|(?<!填)报(?:一下|上)?"
)
_VERB = re.compile(r"[给找写成上让叫报]|联系")
_SIGNED = re.compile(rf"(?:\n|[-,。.!;~])[ ~-]{{0,4}}(?={HAN}{{2,4}}[ 。.!~]*$)")
_THANKS = re.compile(r"(?:谢|麻烦|辛苦|拜托)[了啦您你哈]{0,2}$")
_SEGMENT = re.compile(rf"(?<!{HAN}){HAN}{{2,4}}(?!{HAN})")
_RELATED = re.compile(rf"(?:我|她|他|俺|咱|让|给|叫|由|是|和|^|[ ,.。;:\n]){_KIN}(?=的?{HAN}{{2}})")
_PAUSE = r"[ ,:;/、\n\-()|]*"
_BESIDE_NUMBER = re.compile(
    rf"{_PAUSE}[吧呀啊哦]?[ ,:。]*"
    r"(?:[的打]?(?:联系)?(?:电话|手机号?|号码|方式|tel|身份证|卡号?|银行卡|支付宝|微信|邮箱|qq|vx?)"
    rf"(?:是|号码?)?[ :]*)?(?:{HAN}{{0,6}}行[ ,:]*)?[{PHONE}{CONTACT}]",
    re.I,
)
_BESIDE_PLACE = re.compile(rf"{_PAUSE}[{PLACE}]")
_AFTER_FIND = re.compile(rf"[{PHONE}{PLACE}{CONTACT}]{_PAUSE}(?:请?[转找接])?{_PAUSE}$")
_BESIDE = re.compile(f"[{PHONE}{PLACE}{CONTACT}]")
# A field of its own beside phone and address: the name even if it is a word as well (杨梅, 夏天).
_FIELD = re.compile(
    rf"(?:(?<=[{PLACE}])[ ,;/\n(]*(?P<mid>{HAN}{{2}})(?: ?收)?[ ,;/\n):]*[{PHONE}]"
    rf"|(?:^|\n)(?P<first>{HAN}{{2}})(?: ?收)?[ ,;/\n:]*[{PHONE}]+[ ,;/\n]*(?={PLACE})"
    rf"|(?<=[{PLACE}])[ ,;/\n]*[{PHONE}]+[ ,;/\n]*(?P<last>{HAN}{{2}})(?: ?收)?(?=[ ,.。!~\n]|$))"
)
_BEFORE_NAME = re.compile(
    rf"(?:^|(?!{HAN}).|[是叫找给由让请到系和成加我打收为改换写填注用下问的婆妈爸事友女儿妇放理书计家报替转接知喊告]|老公)$",
    re.S,
)
_RECEIVE = re.compile(
    r"代收|亲收|签收|收件|收货|收(?![到货藏纳据费腰])|收的货|取件|代取|代拿|自提"
    r"|(?:买|拍|订|下单|付款)的|下的单|的(?:名字?|名义)(?!牌)|(?:的|这个)(?:订单|快递|包裹|单子|件|货)"
)


def _label_end(text: str, pos: int, label: str, link: str) -> int:
    """Return where the name after a label such as 收件人 ends, or -1."""
    if (foreign := max(transcribed_end(text, pos), latin_end(text, pos))) > 0:
        return foreign
    titled = _TITLED.match(text, pos)
    if titled and surname(titled.group("name"), 0) and titled.group() != "康师傅":
        return titled.end()
    tight = bool(link) or label[-1] in "叫是"
    level = 1 if label == "抬头" and not link else 3 if tight else 2
    if (end := name_end(text, pos, level)) > 0:
        return end
    if ":" in link:  # after a colon anything that looks like a name will do
        nick = _NICK.match(text, pos)
        if nick and not _NOT_NICK.search(nick.group()) and nick.group()[:2] not in COMMON:
            return nick.end()
        if latin := _LATIN_NAME.match(text, pos):
            return latin.end()
    familiar = _FAMILIAR.match(text, pos)
    if familiar and (tight or familiar.group()[1] in SURNAMES):
        return familiar.end()
    return -1


def _label_names(text: str) -> Iterator[Hit]:
    for match in _LABEL.finditer(text):
        end = _label_end(text, match.end(), match.group("label"), match.group("link").strip())
        if end > 0:
            yield match.end(), end, "name"
        for changed in _CORRECTED.finditer(text, match.end(), match.end() + 20):
            pos = changed.end()
            end = max(name_end(text, pos, 2), transcribed_end(text, pos), latin_end(text, pos))
            if end > 0 and boundary(text, end) > 0:
                yield pos, end, "name"


def _titled_names(text: str) -> Iterator[Hit]:
    """王先生, 李阿姨, 小王: only beside a number or an address, or where they receive a parcel."""
    for match in _ANY_TITLE.finditer(text):
        far = 15 if len(match.group()) > 1 else 4
        for size in (3, 2, 1):
            pos = match.start() - size
            word = text[pos : match.start()] if pos >= 0 else ""
            named = bool(word) and (surname(word, 0) or (size == 2 and word[0] in "小老阿"))
            if not named or not HAN_WORD.fullmatch(word) or NEVER & set(word):
                continue
            if word[:2] in COMMON or text[pos : match.end()] == "康师傅":
                continue
            if not _BEFORE_NAME.search(text[max(0, pos - 2) : pos]):
                continue
            around = text[max(0, pos - far) : match.end() + far]
            if _BESIDE.search(around) or _RECEIVE.match(text, match.end()):
                yield pos, match.end(), "name"
                break
    for match in _FAMILIAR.finditer(text):
        known = match.group()[1] in SURNAMES or match.group()[1] in GIVEN
        alone = not HAN_CHAR.match(text[max(0, match.start() - 1) : match.start()])
        if known and alone and re.match(rf"[ ,:]*[{PHONE}]", text[match.end() : match.end() + 4]):
            yield match.start(), match.end(), "name"
    for match in _HELPER.finditer(text):  # ...23号找老梁, 前台小美代收
        known = match.group()[1] in SURNAMES or match.group()[1] in GIVEN
        if known and _BESIDE.search(text[max(0, match.start() - 10) : match.end() + 10]):
            yield match.start(), match.end(), "name"


def _introduced_names(text: str) -> Iterator[Hit]:
    """我是…, 寄给…, 买家…, and signatures at the end."""
    for match in _INTRO.finditer(text):
        pos, verb = match.end(), bool(_VERB.search(match.group()))
        end = name_end(text, pos, 1, soft=2 if verb else 1)
        # after a verb (找修修, 写明白) a short name must not start with an everyday word
        if end - pos > 2 or (end > 0 and not (verb and text[pos] in EVERYDAY_SURNAMES)):
            yield pos, end, "name"
    for match in _RELATED.finditer(text):
        pos = match.end()
        end = name_end(text, pos, 1, soft=1)
        if end < 0 and text[pos] not in EVERYDAY_SURNAMES:  # 我哥覃海生在广西
            end = name_end(text, pos, 2)
            end = end if end - pos > 2 else -1
        if end - pos > 2 or (end > 0 and text[pos] not in EVERYDAY_SURNAMES):
            yield pos, end, "name"
    for match in _BUYER.finditer(text):
        if (end := name_end(text, match.end(), 1)) > 0:
            yield match.end(), end, "name"
    for match in _SIGNED.finditer(text):
        pos = match.end()
        end = name_end(text, pos, 1)
        # a dash or a word of thanks before it makes a short name with an everyday surname credible
        firm = text.startswith("--", match.start()) or _THANKS.search(text[: match.start()][-8:])
        if end > 0 and (firm or end - pos > 2 or text[pos] not in EVERYDAY_SURNAMES):
            yield pos, end, "name"


def _neighbour_names(text: str) -> Iterator[Hit]:
    """Names beside a number or an address, or before 收, 的快递 and the like."""
    for pos in range(len(text)):
        if not surname(text, pos):
            continue
        before = text[max(0, pos - 2) : pos]
        if text[pos] == "成" and before[-1:] in set("改换写"):  # 改成白…: no Mr Cheng
            continue
        if not _BEFORE_NAME.search(before) and not REGION.fullmatch(before):
            continue
        end = name_end(text, pos, 2)
        if end < 0:
            continue
        follows = boundary(text, end) == 2 and _AFTER_FIND.search(text[max(0, pos - 6) : pos])
        if follows or any(pattern.match(text, end) for pattern in (_RECEIVE, _BESIDE_NUMBER, _BESIDE_PLACE)):
            yield pos, end, "name"
    for match in _FIELD.finditer(text):
        field = match.lastgroup or ""
        if match.group(field) in NAME_WORDS:
            yield *match.span(field), "name"
    for match in _SEGMENT.finditer(text):  # a phrase that is a usual name and nothing else
        pos, end = match.span()
        around = text[max(0, pos - 20) : end + 20]
        near = _BESIDE.search(text[max(0, pos - 8) : end + 8])
        if _BESIDE.search(around) and name_end(text, pos, 2 if near else 1) == end:
            yield pos, end, "name"


def names(text: str) -> Iterator[Hit]:
    """Yield personal names in a text whose numbers and addresses are already blanked."""
    yield from transcribed_names(text)
    yield from _label_names(text)
    yield from _titled_names(text)
    yield from _introduced_names(text)
    yield from _neighbour_names(text)
    yield from latin_names(text)
