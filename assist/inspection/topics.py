"""What shop talk is about, by plain words: coarse topics that tell an answer to another question.

Coarse on purpose: a topic holds all words with which question and answer of one matter may differ (多大码 / M就行).
"""

from __future__ import annotations

import re

__all__ = ["TOPICS", "topics"]

TOPICS: dict[str, re.Pattern[str]] = {
    key: re.compile(pattern)
    for key, pattern in {
        "delivery": r"快递|物流|发货|派送|送货|包裹|单号|驿站|取件|几天(?:能)?到|到哪|顺丰|中通|补发|装车|发出|寄",
        "refund": r"退款|退钱|到账|钱|原路|扣款|差价|价保",
        "return": r"退货|换货|退换|退掉|(?<!不)能退|可以退|换一?个|上门取|七天|退回",
        "size": r"尺码|多大码|码|身高|体重|斤|穿多大|腰围|偏大|偏小|[sml]号",
        "payment": r"付款|支付|付不|付没|付上|花呗|分期|刷卡|定金|尾款|扣款|待付款",
        "promotion": r"活动|优惠|券|满\d|减\d|半价|折|便宜|红包|积分|赠",
        "invoice": r"发票|抬头|税号|专票",
        "washing": r"机洗|手洗|水洗|洗衣|洗涤|洗碗机|晾|暴晒|褪色|缩水|起球",
        "use": r"怎么用|怎么关|怎么装|怎么弄|温度|多久|时间键|按钮|安装|开关|打孔|薯条",
        "quality": r"坏|裂|破|洞|开线|漏|线头|划痕|瑕疵|味道|不亮|断了",
        "stock": r"有货|现货|没货|补货|上架",
        "spec": r"容量|多大|毫升|升|功率|瓦|承重|多高|厘米|尺寸|材质|份量",
        "order": r"改地址|地址|订单|取消|下单|备注|拍错",
        "review": r"好评|评价|差评|中评",
    }.items()
}


def topics(text: str) -> set[str]:
    """Topics whose words stand in a plain text."""
    return {key for key, pattern in TOPICS.items() if pattern.search(text)}
