#!/usr/bin/env python3
"""gguf_to_hf.py IN.gguf OUT: the Llama-architecture model of a GGUF file as a Hugging Face folder.

A GGUF keeps weights, tokens, merges and the chat template, and names its pre-tokeniser only; PRE_TOKENIZERS says what the names mean. Weights come out in float32: what a
quantised block says exactly, without a second rounding. Rows of q and k stand in GGUF in the order of interleaved rotary pairs; Hugging Face wants the halves one after the other.
Needs numpy only.
"""
import json
import os
import struct
import sys

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
NORMAL, CONTROL = 1, 3

GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PRE_TOKENIZERS = {"smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, GPT2]}, "gpt-2": GPT2}


class Reader:
    def __init__(self, path):
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 0

    def unpack(self, code):
        size = struct.calcsize("<" + code)
        value = struct.unpack("<" + code, self.data[self.at:self.at + size].tobytes())[0]
        self.at += size
        return value

    def string(self):
        n = self.unpack("Q")
        self.at += n
        return self.data[self.at - n:self.at].tobytes().decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, n = self.unpack("I"), self.unpack("Q")
            return [self.value(inner) for _ in range(n)]
        return self.unpack(SCALARS[kind])


def read_header(r):
    magic, r.at = r.data[:4].tobytes(), 4
    version = r.unpack("I")
    if magic != b"GGUF" or version not in (2, 3):
        sys.exit(f"not a GGUF file of version 2 or 3 (magic {magic}, version {version})")
    n_tensors, n_keys = r.unpack("Q"), r.unpack("Q")
    keys = {}
    for _ in range(n_keys):
        name = r.string()
        keys[name] = r.value(r.unpack("I"))
    infos = []
    for _ in range(n_tensors):
        name, n_dims = r.string(), r.unpack("I")
        dims = [r.unpack("Q") for _ in range(n_dims)]
        infos.append((name, dims[::-1], r.unpack("I"), r.unpack("Q")))
    align = keys.get("general.alignment", 32)
    return keys, infos, (r.at + align - 1) // align * align


def float16(x):
    """Two bytes of each block as a column of float32."""
    return np.ascontiguousarray(x).view(np.float16).astype(np.float32)


def nibbles(x):
    return np.concatenate([x & 15, x >> 4], axis=1)


def q4_1(b):
    return float16(b[:, :2]) * nibbles(b[:, 4:]) + float16(b[:, 2:4])


def q8_0(b):
    return float16(b[:, :2]) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


# ggml's type number: name, elements and bytes of a block, decoder
TYPES = {0: ("F32", 1, 4, lambda b: b.view(np.float32)), 1: ("F16", 1, 2, float16), 3: ("Q4_1", 32, 20, q4_1),
         8: ("Q8_0", 32, 34, q8_0)}


def read_tensor(r, base, info):
    name, shape, kind, offset = info
    if kind not in TYPES:
        sys.exit(f"{name} has ggml type {kind}, which this script does not decode (known: {', '.join(t[0] for t in TYPES.values())})")
    _, elems, size, decode = TYPES[kind]
    n_blocks = int(np.prod(shape)) // elems
    blocks = np.array(r.data[base + offset:base + offset + n_blocks * size]).reshape(n_blocks, size)
    return np.ascontiguousarray(decode(blocks).reshape(shape).astype(np.float32))


def halves_of_heads(w, heads):
    """Interleaved rotary pairs to first halves, then second halves, of each head's rows."""
    rows = w.shape[0] // heads
    return np.ascontiguousarray(w.reshape(heads, rows // 2, 2, -1).swapaxes(1, 2).reshape(w.shape))


LAYER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
WHOLE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def hf_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{LAYER[part]}.{kind}"


def weights(r, infos, base, heads, kv_heads):
    out = {}
    for info in infos:
        w = read_tensor(r, base, info)
        part = info[0].split(".")[-2]
        if part in ("attn_q", "attn_k"):
            w = halves_of_heads(w, heads if part == "attn_q" else kv_heads)
        out[hf_name(info[0])] = w
    return out


def config(keys, tensors):
    k = lambda name, default=None: keys.get("llama." + name, default)
    vocab, hidden = tensors["model.embed_tokens.weight"].shape
    heads = k("attention.head_count")
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden, "intermediate_size": k("feed_forward_length"),
            "num_hidden_layers": k("block_count"), "num_attention_heads": heads, "num_key_value_heads": k("attention.head_count_kv", heads), "head_dim": hidden // heads,
            "max_position_embeddings": k("context_length"), "rms_norm_eps": float(np.float32(k("attention.layer_norm_rms_epsilon")).astype(str)), "rope_theta": float(k("rope.freq_base", 10000.0)),
            "vocab_size": vocab, "tie_word_embeddings": "lm_head.weight" not in tensors, "attention_bias": False, "mlp_bias": False,
            "bos_token_id": keys.get("tokenizer.ggml.bos_token_id"), "eos_token_id": keys.get("tokenizer.ggml.eos_token_id"), "pad_token_id": keys.get("tokenizer.ggml.padding_token_id"),
            "torch_dtype": "float32"}


def tokenizer(keys):
    tokens, kinds, pre = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"], keys["tokenizer.ggml.pre"]
    if keys["tokenizer.ggml.model"] != "gpt2" or pre not in PRE_TOKENIZERS:
        sys.exit(f"the tokenizer is '{keys['tokenizer.ggml.model']}' with pre-tokeniser '{pre}'; known: gpt2 with {', '.join(PRE_TOKENIZERS)}")
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, (t, kind) in enumerate(zip(tokens, kinds)) if kind == CONTROL]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": PRE_TOKENIZERS[pre], "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {t: i for i, t in enumerate(tokens)}, "merges": keys["tokenizer.ggml.merges"]}}


def tokenizer_config(keys):
    token = lambda name: keys["tokenizer.ggml.tokens"][keys[f"tokenizer.ggml.{name}_token_id"]] if f"tokenizer.ggml.{name}_token_id" in keys else None
    return {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": token("bos"), "eos_token": token("eos"), "pad_token": token("padding"), "unk_token": token("unknown"),
            "add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": keys["llama.context_length"], "chat_template": keys.get("tokenizer.chat_template")}


def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, w in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(w.shape), "data_offsets": [at, at + w.nbytes]}
        at += w.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for w in tensors.values():
            f.write(w.tobytes())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    r, out = Reader(sys.argv[1]), sys.argv[2]
    keys, infos, base = read_header(r)
    if keys.get("general.architecture") != "llama":
        sys.exit(f"the architecture is '{keys.get('general.architecture')}'; this script knows llama")
    heads = keys["llama.attention.head_count"]
    tensors = weights(r, infos, base, heads, keys.get("llama.attention.head_count_kv", heads))
    os.makedirs(out, exist_ok=True)
    write_safetensors(os.path.join(out, "model.safetensors"), tensors)
    for name, value in (("config.json", config(keys, tensors)), ("tokenizer.json", tokenizer(keys)), ("tokenizer_config.json", tokenizer_config(keys))):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
