"""Names that are not of the Han form: Latin and mixed ones, and transcribed ones.

Transcribed are the names of Uyghurs, Kazakhs, Tibetans and Mongols. They are known by the elements
they are made of, so that brands, stars and films from abroad (哈利·波特) stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.pii.text import CONTACT, HAN, PHONE, PLACE, Hit
from data.pii.words import COMPOUND_SURNAMES, FOLLOWING_CHARS, SURNAMES

__all__ = ["latin_end", "latin_names", "transcribed_end", "transcribed_names"]

_FOLLOWS = rf"(?:(?!{HAN})|(?=[{''.join(sorted(FOLLOWING_CHARS))}]))"
_FAMILY = f"(?:{'|'.join(sorted(COMPOUND_SURNAMES))}|[{''.join(sorted(SURNAMES))}])"
_WORD = r"[A-Z][A-Za-z'’]{1,14}"
_LATIN = re.compile(
    rf"(?:{_WORD}(?:[ ·.]{{1,2}}{_WORD}){{0,2}}(?: [A-Z]\b|(?: ?{_FAMILY}{_FOLLOWS})?)"
    rf"|{_FAMILY} ?{_WORD})(?![A-Za-z\d])"
)
_FULL = re.compile(rf"(?<![A-Za-z\d]){_WORD}(?:[ ·]{_WORD}){{1,2}}(?![A-Za-z\d])")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are written like names: brands, models, shipping, labels.
_NO_NAME = _words(
    "iphone ipad apple huawei xiaomi mate pro max plus mini ultra air watch pods vip svip app pdf ems"
    " dhl ups usps fedex sf yt jd express tel phone mobile mob fax email mail wechat weixin qq vx wx vv"
    " passport no number id ok hi hello dear thanks thank you please new old red black white blue air"
    " pink green grey size color model nike adidas puma fila zara uniqlo sony dyson lego dior chanel"
    " gucci prada coach usb type hdmi led oled ssd ram xs xl xxl xxxl ml cm kg mm add address name"
    " door room building block tower road street floor unit hong kong macau taiwan china usa uk"
)
_GIVEN = (
    r"Amy|Tony|Jason|Linda|Maria|Mary|John|Peter|David|Michael|Mike|Kevin|Eric|Jack|Tom|Lucy|Lily|Anna|Alice"
    r"|Emma|Emily|Grace|Helen|Jane|Jenny|Jessica|Joe|Judy|Julia|Karen|Kate|Kelly|Ken|Lisa|Mandy|May"
    r"|Nancy|Nick|Nina|Paul|Ray|Rose|Ruby|Sam|Sandy|Sara|Sarah|Simon|Sophia|Stella|Steven|Susan|Tina"
    r"|Tracy|Vicky|Vincent|Vivian|Wendy|William|Winnie|Yoyo|Zoe|Andy|Alex|Allen|Ben|Betty|Bob|Carol"
    r"|Cathy|Cindy|Coco|Daniel|Daisy|Eason|Edward|Ella|Eva|Fiona|Frank|Gary|Gina|Henry|Iris|Ivy|James"
    r"|Jerry|Jim|Joyce|Leo|Lynn|Mark|Martin|Olivia|Richard|Robert|Rita|Ryan|Sally|Sunny|Thomas"
)
_FIRST = re.compile(rf"(?<![A-Za-z\d])(?:{_GIVEN})(?: {_WORD})?(?: ?{_FAMILY}{_FOLLOWS})?(?![A-Za-z\d])")
_PINYIN_FAMILY = _words(
    "wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he lin luo gao zheng liang"
    " xie song tang deng han feng cao peng zeng xiao tian dong pan yuan cai jiang yu du ye cheng wei su"
    " lv lu ding ren shen yao zhong cui tan fan wang liao shi jin jia xia fu fang zou xiong bai meng qin"
    " qiu hou yin xue yan duan lei long shi tao he mao hao gu gong shao wan qian dai mo kong xiang chang"
    " wong chan cheung lee lam leung kwok ho ng chow chiu tsang tse yip lau yeung cheng law kwan tam chu"
    " mak fung lai siu tsui chung hui poon tong hung lo wu kim park hsu tsai huang liao hsieh kuo"
)
_NEAR = rf"[{PHONE}{CONTACT}]"
_PAUSE = r"[ ,:;/、\n\-()|]*"
_NEAR_BEFORE = re.compile(rf"[{PHONE}{PLACE}{CONTACT}]{_PAUSE}(?:转|找|接|收件|收货|姓名)?{_PAUSE}$")
_NEAR_AFTER = re.compile(rf"{_PAUSE}(?:的|收|电话|手机|tel){{0,2}}{_PAUSE}[{PHONE}{PLACE}{CONTACT}]", re.I)
_RECEIVES = re.compile(r" ?(?:收(?![到货藏])|代收|签收|买的|的(?:快递|订单|包裹))")


def latin_end(text: str, pos: int) -> int:
    """Return where a Latin or mixed name after a label ends (Maria Wong, Jason 林), or -1."""
    match = _LATIN.match(text, pos)
    if not match or any(word in _NO_NAME for word in re.findall("[a-z]+", match.group().lower())):
        return -1
    return match.end()


def latin_names(text: str) -> Iterator[Hit]:
    """Yield names such as LIU YANG or Tony beside a number, an address or an account."""
    for match in _FULL.finditer(text):
        words = re.findall("[a-z]+", match.group().lower())
        if _NO_NAME.intersection(words):
            continue
        around = text[max(0, match.start() - 15) : match.end() + 15]
        near = re.search(_NEAR, around) and (words[0] in _PINYIN_FAMILY or words[-1] in _PINYIN_FAMILY)
        head = text[max(0, match.start() - 8) : match.start()]
        if near or _NEAR_BEFORE.search(head) or _NEAR_AFTER.match(text, match.end()):
            yield *match.span(), "name"
    for match in _FIRST.finditer(text):
        head = text[max(0, match.start() - 8) : match.start()]
        after = any(pattern.match(text, match.end()) for pattern in (_NEAR_AFTER, _RECEIVES))
        if after or _NEAR_BEFORE.search(head):
            yield *match.span(), "name"


# Elements of Uyghur and Kazakh, Tibetan and Mongol names.
_TURKIC = (
    r"阿不都|阿卜杜|阿布都|阿布力|阿不力|阿不来|阿卜力|买买提|麦麦提|买买江|麦合木提|买合木提|艾合买提|艾合麦提"
    r"|吐尔逊|吐尔洪|吐逊|吐尔|古丽|古力|努尔|依明|伊敏|艾力|玉素甫|木拉提|帕提|热合曼|热西提|热依|迪丽|迪里|娜扎"
    r"|买合|肉孜|艾尼|瓦尔|库尔班|亚森|亚库甫|阿依|木沙|沙依|赛买提|赛麦提|塞麦提|艾山|艾买提|艾则孜|依布拉音"
    r"|伊布拉音|卡德尔|卡迪尔|居马|哈力克|哈里克|哈斯木|哈山|合木提|加马力|凯赛尔|克里木|吾买尔|乌买尔|吾守尔"
    r"|牙生|牙库甫|约麦尔|祖农|祖力|祖丽|麦尔|玛依|美合|塔依尔|塔西|图尔|吐拉|托合提|外力|西尔|夏提|迪力"
    r"|叶尔|别克|哈孜|哈那提|巴合提|拜尔|尼亚孜|尼扎|帕尔哈提|排孜|塔吉|斯拉木|斯地克|司马义|斯马依"
    r"|汗古|再娜|再努|孜乃|阿迪|阿曼|阿里木|艾克|巴哈|巴图尔|地里|胡达|江布|卡米|拉扎|米热|纳斯|奴尔"
    r"|热孜|日孜|萨迪|沙塔尔|苏来曼|苏力坦|吾斯曼|乌斯曼|谢尔|伊力|依力|依米提|扎克尔|哈提|合提|买提|麦提"
)
_TIBETAN = (
    r"扎西|卓玛|次仁|多吉|洛桑|丹增|旦增|格桑|央金|央宗|德央|拉姆|德吉|旺堆|平措|尼玛|达瓦|白玛|索朗|顿珠|才让|桑吉|次旦|仁青"
    r"|普布|巴桑|边巴|贡布|罗布|曲珍|卓嘎|拉珍|旺姆|措姆|强巴|欧珠|群培|益西|土登|嘉措|坚赞|才旦|仁增|加措|江措"
    r"|拥措|泽仁|扎巴|曲吉|曲扎|德庆|顿旦|旺杰|旺扎|班玛|南杰|多杰|朗杰|云丹|次央|玉珍|拉毛|措毛|卓么|桑珠"
)
_MONGOL = (
    r"巴特尔|苏日娜|其木格|其其格|乌云|萨仁|娜仁|那仁|格日勒|图雅|托娅|那日苏|呼斯楞|阿拉坦|敖特根|斯琴|高娃|朝鲁"
    r"|额尔敦|孟和|特木尔|牧仁|哈斯|宝音|乌兰|其劳|巴雅尔|毕力格|毕勒格|苏和|阿古拉|布赫|吉日|塔拉|琪琪格|阿茹娜"
    r"|乌日娜|萨日娜|乌力吉|满都|达来|达赖|苏布|德力|额日|胡日|呼格|吉勒|吉乐|恩和|赛罕|赛汗|查干|图门|格根|那顺"
)
_CHAR = (
    r"(?!买[了的过]|来[取拿收领])[阿不都买提麦艾力吐尔逊古丽努依明玉素甫木拉帕热合曼西迪里娜扎肉孜尼瓦库班亚森沙赛山则布音卡德居马哈克斯加凯"
    r"吾乌守牙祖农玛美塔图托外夏叶别那巴拜亚吉义汗再乃曼胡达江米纳奴日萨苏来坦谢伊扎比娅娃孜热古再姆达卓次仁多"
    r"洛桑丹增旦格央金旺堆平措白索朗顿珠才让贡罗曲嘎珍强欧群培益登嘉坚赞泽庆杰南云其仁勒雅楞敖根琴高朝鲁额敦孟和"
    r"特牧宝毕苏赫琪茹满赖恩罕查干门顺克孜纳赞燕坎穆萨迪甘恰奈汉韦伯肯尕迈代鲁司盖地宗]"
)
_PIECE = f"(?:{_TURKIC}|{_TIBETAN}|{_MONGOL})"
_DOT = r" ?[·•・‧∙⋅.] ?"

_FULL_DOTTED = re.compile(rf"{_CHAR}{{2,9}}(?:{_DOT}{_CHAR}{{1,9}}){{1,2}}")
_HAS_PIECE = re.compile(_PIECE)
_WHOLE = re.compile(rf"{_PIECE}{{1,4}}(?:江|尔|汗|娜|木|古丽|古力|娅|草|夫|措|加|杰)?")
_NO_NAMES = re.compile(
    "扎西德勒|迪丽热巴|古力娜扎|达瓦山|格桑花|乌兰察|乌兰浩|乌兰牧|塔吉克|哈斯勒|巴哈马|努尔哈赤"
    "|波特|贝克汉姆|乔丹|詹姆斯|科比|凯撒|梅西|阿迪(?![力拉莱])|宝音德力格尔|达赖喇嘛|高娃家"
)
_AFTER = re.compile(rf"(?!{HAN})|[的了吗呢吧啊是在和跟我你他这那就也要收转改换请买拍订代签电手身地号刚说,]")


def transcribed_end(text: str, pos: int) -> int:
    """Return where a transcribed name that a label vouches for ends (古丽娜尔), or -1."""
    if dotted := _FULL_DOTTED.match(text, pos):
        return dotted.end()
    match = _WHOLE.match(text, pos)
    if not match or _NO_NAMES.match(text, pos):
        return -1
    return match.end() if _AFTER.match(text, match.end()) else -1


def transcribed_names(text: str) -> Iterator[Hit]:
    """Yield 买买提·艾力 anywhere, and 扎西次仁 beside a number, an address or 收."""
    for match in _FULL_DOTTED.finditer(text):
        head = text[max(0, match.start() - 8) : match.start()]
        near = _NEAR_BEFORE.search(head) or _NEAR_AFTER.match(text, match.end())
        if near or (_HAS_PIECE.search(match.group()) and not _NO_NAMES.search(match.group())):
            yield *match.span(), "name"
    for match in _WHOLE.finditer(text):
        pos, end = match.span()
        if end - pos < 3 or transcribed_end(text, pos) != end:
            continue
        around = text[max(0, pos - 15) : end + 15]
        if _RECEIVES.match(text, end) or re.search(f"[{PHONE}{PLACE}{CONTACT}]", around):
            yield pos, end, "name"
