#!/usr/bin/env python3
"""Golden token ids: tests/golden/text/NAME.json = {"tokenizer": path or null, "cases": [[text, [ids]], ...]}.

Tokenizers: llama-3.1 (from CRITIC_RM_TEST_DATA) and smollm2 (from the folder that ci/smollm2.sh makes), ids only are committed; and three tiny ones trained here and committed
beside the ids: bytelevel (GPT-2 words, single digits), qwen (Qwen's words, NFC) and fallback (SentencePiece-style with byte fallback). Ids are Hugging Face's, added tokens parsed,
nothing added in front.
Run: ci/python.sh, then .venv/bin/python tests/golden/make_text.py
"""
import gzip, json, os, random
from tokenizers import Tokenizer, Regex, normalizers, pre_tokenizers, decoders, models, trainers, AddedToken

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "text")
data = os.environ.get("CRITIC_RM_TEST_DATA", os.path.join(here, "..", "..", "..", "shared", "data"))
smollm2 = os.environ.get("CRITIC_RM_SMOLLM2", os.path.join(here, "..", "..", "models", "smollm2-135m-instruct"))

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.", "It's 2024, and we've paid $1,234.56 (about 10%) for it; they'll say I'd won't.",
    "Être ou ne pas être — voilà la question…", "Größe, Straße, Übermut: ÄÖÜ", "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "敏捷的棕色狐狸跳过了懒狗。今天是2024年11月。", "素早い茶色の狐がのろまな犬を飛び越える。カタカナ", "다람쥐 헌 쳇바퀴에 타고파",
    "نص حكيم له سر قاطع وذو شأن عظيم ١٢٣", "דג סקרן שט בים מאוכזב", "ऋषियों को सताने वाले दुष्ट राक्षसों १२३", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "যাহা বলিবে সত্য বলিবে",
    "யாமறிந்த மொழிகளிலே தமிழ்மொழி", "ქართული ენა მშვენიერია", "Զանգի ձայնը լսելի է", "ሰላም ለዓለም", "Tiếng Việt rất đẹp và phong phú", "Pchnąć w tę łódź jeża lub ośm skrzyń fig",
    "def f(x):\n    return {k: v**2 for k, v in x.items() if v != 0}  # squares\n", "int main(void) { printf(\"%d\\n\", 0x1F); return a->b[3] & ~mask; }",
    "SELECT * FROM t WHERE id >= 100 AND name LIKE '%x_';", "<html><body class=\"a\">&nbsp;&lt;b&gt;</body></html>", "{\"key\": [1, 2.5e-3, null, true]}",
    "😀👍🏽👩‍👩‍👧‍👦 🇩🇪🇯🇵 ❤️ ☃", "a\u0301 e\u0308 \u1e9b\u0323 n\u0303 (decomposed) ﬁ ﬂ Å Ω", "tabs\there\tand\t\tthere", "line one\nline two\r\nline three\n\n\n\nend", "   leading and trailing   ",
    "multiple    spaces     between      words", "\u00a0non\u2003breaking\u3000spaces\u200bzero", "CamelCaseAndsnake_case_and-kebab-case", "http://example.org/a?b=c&d=%20#e", "1234567890 12 345 6789 ½ ² ⅷ ①",
    "DON'T I'M YOU'RE WE'LL 'S 'T", "!!!???...,,,;;;:::---___***", "\u202eright to left override\u202c", "Math: ∀x∈ℝ: x²≥0, ∑ᵢ aᵢ ≠ ∞", "end with newline\n", "\n\n  \n indented", "x", " ", "\n", "\t \n \t", "ﷺ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
]

def texts():
    rng = random.Random(5)
    result = list(SENTENCES)
    while len(result) < 560:
        a, b = rng.choice(SENTENCES), rng.choice(SENTENCES)
        kind = rng.randrange(6)
        if kind == 0: t = a[: rng.randrange(1, len(a) + 1)]
        elif kind == 1: t = a + b
        elif kind == 2: t = rng.choice([" ", "\n", "  ", "\n\n", "\t"]).join([a, b])
        elif kind == 3: t = "".join(rng.choice(a + b) for _ in range(rng.randrange(1, 40)))
        elif kind == 4: t = rng.choice(["<|eot_id|>", "<|im_end|>", "<s>", "[INST]", "</s>"]).join([a[:20], b[:20]])
        else: t = a.upper() + " " * rng.randrange(5) + b.lower()
        result.append(t)
    return result

def write(name, tokenizer, committed):
    cases = [[t, tokenizer.encode(t, add_special_tokens=False).ids] for t in texts()]
    if committed:
        tokenizer.save(os.path.join(out, name + ".tokenizer.json"), pretty=False)
    with gzip.GzipFile(os.path.join(out, name + ".json.gz"), "wb", mtime=0) as f:
        f.write(json.dumps({"cases": cases}, ensure_ascii=False).encode())

def train(tokenizer, special, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    return tokenizer

def main():
    os.makedirs(out, exist_ok=True)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    byte = Tokenizer(models.BPE())
    byte.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    byte.decoder = decoders.ByteLevel()
    write("bytelevel", train(byte, special, pre_tokenizers.ByteLevel.alphabet()), True)
    qwen = Tokenizer(models.BPE())
    qwen.normalizer = normalizers.NFC()
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    qwen.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    qwen.decoder = decoders.ByteLevel()
    write("qwen", train(qwen, special, pre_tokenizers.ByteLevel.alphabet()), True)
    fallback = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    fallback.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = fallback.normalizer
    trained = train(trained, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"] + ["<0x%02X>" % b for b in range(256)])
    state = json.loads(trained.to_str())
    state["model"].update(byte_fallback=True, fuse_unk=True)
    rare = set("ﷺ𝔘𐍈ሰҡქ")      # characters that must fall back to bytes
    state["model"]["merges"] = [m for m in state["model"]["merges"] if not rare & set("".join(m))]
    keep = {t: i for t, i in state["model"]["vocab"].items() if not rare & set(t)}
    state["model"]["vocab"] = keep
    state["added_tokens"] = [t for t in state["added_tokens"] if not t["content"].startswith("<0x")]
    write("fallback", Tokenizer.from_str(json.dumps(state)), True)
    path = os.path.join(data, "tokenizers", "llama-3.1", "tokenizer.json.gz")
    if os.path.exists(path):
        write("llama-3.1", Tokenizer.from_str(gzip.open(path).read().decode()), False)
    path = os.path.join(smollm2, "tokenizer.json")
    if os.path.exists(path):
        write("smollm2", Tokenizer.from_file(path), False)

main()
