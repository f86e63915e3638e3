"""Mail addresses and accounts: WeChat, QQ, Alipay.

A mail address speaks for itself; an account is only known by the word before it (微信, 加我v, 扣扣).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.pii.text import HAN, Hit, View, order_label

__all__ = ["accounts", "mails"]

_MAIL_HOST = (
    r"(?:qq|163|126|139|189|188|vip|gmail|sina|hotmail|outlook|foxmail|yeah|icloud|aliyun|sohu|live"
    r"|msn|yahoo)"
)
_DOT = r" ?(?:\.|。|点|dot) ?"
_MAIL = re.compile(
    r"(?<![\w.+-])(?:e-?mail)?(?P<mail>[A-Za-z0-9][\w.+-]{0,63} ?@ ?"
    rf"(?:[A-Za-z0-9-]{{1,40}}{_DOT}){{1,4}}[A-Za-z]{{2,10}}"
    rf"|[A-Za-z0-9][\w.+-]{{1,63}} ?(?:@|#|\(at\)|\[at\]| at |艾特|圈a) ?{_MAIL_HOST}"
    rf"{_DOT}(?:com|cn|net)(?:{_DOT}cn)?)",
    re.I | re.A,
)


def mails(view: View) -> Iterator[Hit]:
    """Yield mail addresses, also those spelt with 艾特 or 点."""
    for match in _MAIL.finditer(view.plain):
        yield match.start("mail"), match.end(), "email"


_IS = r"[ :=是为叫【\[(\"“]{0,4}"
_LINK = rf"(?:号码?|id|账号|帐号|账户|帐户|昵称)?{_IS}(?:加我?|搜索?|查找?|发我?)?{_IS}"
_HANDLE = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?=\w)){4,24}(?![A-Za-z0-9_@.]|-\d)"
_WECHAT = re.compile(
    r"(?P<word>[微薇威维徽巍]\s?[信x]|卫星|weixin|wechat|(?<![a-z\d])(?:wx|vx|v信|wei信|wxh)"
    r"|(?:[加+➕]|我的?|的)(?:我|个|一下|下)?的?(?:v|薇|微)|(?<![a-z\d])v(?=\s?:))"
    rf"(?P<link>{_LINK})(?P<id>{_HANDLE})",
    re.I | re.A,
)
# 加我老婆微信吧，huahua_mama
_INVITED = re.compile(
    rf"加{HAN}{{0,5}}(?:[微薇威]信|vx|v|wx)号?(?:吧|呀|啊|哈|哦|好了)?[ ,:]{{1,2}}"
    rf"(?P<id>{_HANDLE})(?=[ ,.。!~\n]|$)",
    re.I | re.A,
)
_WXID = re.compile(r"wxid_[A-Za-z0-9]{5,24}", re.I | re.A)
_QQ = re.compile(
    r"(?<![a-z\d])(?:qq|扣扣|企鹅|秋秋|球球|加我?个?扣|(?<=[加我的:])q(?=[\d :号是])|q(?=[:号])"
    r"|q(?= ?(?!20[0-3]\d[01]\d[0-3]\d(?!\d))[1-9]\d{6,10}(?!\d)))"
    rf"(?:号码?|账号|帐号)?{_IS}(?:加我?)?{_IS}(?P<id>[1-9](?: ?\d){{4,11}})(?![\dA-Za-z@])",
    re.I | re.A,
)
_ALIPAY = re.compile(
    r"(?:支付宝|支付寶|zfb|alipay)(?P<link>(?:的?账号|的?帐号|账户|帐户|号码?|id)?"
    rf"{_IS})(?P<id>{_HANDLE})",
    re.I | re.A,
)
_NOT_HANDLE = re.compile(
    r"(?:wechat|weixin|alipay|iphone|ipad|huawei|hello|please|taobao|tmall|xiaomi|http|pay)"
    r"[a-z\d]{0,4}$",
    re.I,
)


def _wechats(text: str) -> Iterator[Hit]:
    for match in _WXID.finditer(text):
        yield match.start(), match.end(), "wechat"
    for match in _INVITED.finditer(text):
        if re.search("[a-z]", match.group("id")) and not _NOT_HANDLE.match(match.group("id")):
            yield *match.span("id"), "wechat"
    for match in _WECHAT.finditer(text):
        start, end = match.span("id")
        invited = match.group("word")[0] in "加+➕"
        marked = bool(re.search(r"[\d_-]", match.group("id")))
        if _NOT_HANDLE.match(text, start, end):
            continue
        if not (marked or match.group("link").strip() or invited):
            continue  # 微信good: a word, not an account
        asked = invited or re.search("[加我的]", text[max(0, match.start() - 1) : match.start() + 1])
        if not asked and re.match("[A-Za-z]", text[start - 1]):
            continue  # "vx100pro" is a model; "加我vx100pro" is an account
        yield start, end, "wechat"


def accounts(view: View) -> Iterator[Hit]:
    """Yield WeChat, QQ and Alipay accounts, without the word that names them."""
    yield from _wechats(view.plain)
    for text in view.readings:
        for match in _QQ.finditer(text):
            counted = re.match(r"[元块个天群积批款型]", text[match.end() : match.end() + 1])
            if not counted and not order_label(text, match.start()):
                yield match.start("id"), match.end("id"), "qq"
    for match in _ALIPAY.finditer(view.plain):
        handle = match.group("id")
        if not _NOT_HANDLE.match(handle) and (match.group("link").strip() or not handle.isdigit()):
            yield match.start("id"), match.end("id"), "alipay"
