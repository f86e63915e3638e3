from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from data.encoding import ROLE_TOKENS, InputEncoder, InputLimits
from data.example import Turn
from data.ngrams import NgramView


@pytest.fixture
def make():
    def build(**limits):
        words = ["<pad>", "<s>", "</s>", "<unk>", *"一二三四五六七八九十"]
        tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        tokenizer.add_special_tokens([AddedToken(token) for token in ROLE_TOKENS.values()])
        return InputEncoder(tokenizer, InputLimits(**limits), "<s>", "</s>", "<pad>")

    return build


def text(encoder, item):
    return " ".join(encoder.tokenizer.id_to_token(i) for i in item.ids)


def test_message_first_then_latest_turns(make):
    encoder = make()
    turns = (Turn("customer", "一"), Turn("agent", "二"))
    (item,) = encoder.encode([("三四", turns)])
    assert text(encoder, item) == "<s> 三 四 </s> [客服] 二 </s> [客户] 一 </s>"
    assert item.types == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_long_messages_keep_both_ends_and_the_oldest_turns_go(make):
    encoder = make(message_tokens=6, turn_tokens=3, context_tokens=8, context_turns=5)
    turns = (Turn("customer", "一一"), Turn("agent", "二二二二"), Turn("customer", "三"))
    (item,) = encoder.encode([("一二三四五六七", turns)])
    assert text(encoder, item) == "<s> 一 二 六 七 </s> [客户] 三 </s> [客服] 二 二 二 </s>"
    assert len(item.ids) <= encoder.max_length


def test_no_context_limit_and_empty_turns(make):
    encoder = make(context_turns=0)
    (item,) = encoder.encode([("一", (Turn("agent", "二"),))])
    assert text(encoder, item) == "<s> 一 </s>"


def test_batch_padding_and_unknown(make):
    encoder = make()
    batch = encoder.pad(encoder.encode([("一", ()), ("一二猫", ())]))
    assert batch.input_ids.shape == (2, 5)
    assert batch.attention_mask.sum(1).tolist() == [3, 5]
    assert batch.input_ids[0, 3] == encoder.pad_id
    assert encoder.tokenizer.id_to_token(int(batch.input_ids[1, 3])) == "<unk>"
    assert encoder.encode([]) == []


def test_saved_reader_reads_the_same(make, tmp_path):
    encoder = make(message_tokens=10)
    encoder.save(tmp_path)
    loaded = InputEncoder.load(tmp_path)
    message = [("一二三", (Turn("agent", "四"),))]
    assert loaded.encode(message) == encoder.encode(message)
    assert loaded.limits == encoder.limits


def test_missing_special_token_is_named():
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<pad>": 2}, unk_token="<s>"))
    with pytest.raises(ValueError, match="客户"):
        InputEncoder(tokenizer, InputLimits(), "<s>", "</s>", "<pad>")


def test_limits_are_checked():
    with pytest.raises(ValueError, match="message_tokens"):
        InputLimits(message_tokens=2)


def test_ngrams_are_stable_distinct_and_padded():
    view = NgramView(1000)
    assert view.ids("退款") == view.ids("退款")
    assert view.ids("ＡＢ") == view.ids("ab")
    ids = view.batch([("退款什么时候到", ()), ("好", ())])["ngram_ids"]
    assert ids.shape[0] == 2
    assert (ids[1] == 0).any()
    assert ids.max() < 1000
    # The very numbers matter: a stored model depends on them.
    assert NgramView(131072).ids("好") == [44200, 26665, 123837, 41892, 56429, 12541]
    with pytest.raises(ValueError, match="buckets"):
        NgramView(1)


def test_ngrams_of_the_context_tell_who_spoke():
    view = NgramView(131072)
    asked, said = view.context_ids([Turn("agent", "几码")]), view.context_ids([Turn("customer", "几码")])
    assert asked
    assert said
    assert not set(asked) & set(said)
    older = [Turn("agent", "您好"), Turn("customer", "在吗")]
    latest = [Turn("customer", "换货"), Turn("customer", "小了"), Turn("agent", "几码")]
    assert set(view.context_ids(older + latest)) == set(view.context_ids(latest))
    batch = view.batch([("38", latest), ("在吗", ())])
    assert set(batch) == {"ngram_ids", "context_ngram_ids"}
    assert batch["context_ngram_ids"][0].any()
    assert not batch["context_ngram_ids"][1].any()
    assert view.batch([])["ngram_ids"].shape[0] == 0
