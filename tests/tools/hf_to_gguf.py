#!/usr/bin/env python3
"""hf_to_gguf.py FOLDER OUT.gguf F32|F16|BF16: a Llama of a Hugging Face folder as a GGUF without tokenizer, for llama.cpp fed with token ids.

Matrices are rounded to the type named; norms stay float32, as llama.cpp wants them. Rows of q and k go from halves of a head to interleaved rotary pairs: the inverse of gguf_to_hf.py.
Needs the packages of tests/bench/requirements-llama.txt.
"""
import json
import os
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

LAYER = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
FILE_TYPES = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16, "BF16": gguf.LlamaFileType.MOSTLY_BF16}


def gguf_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{LAYER[part]}.weight"


def interleaved(w, heads):
    rows = w.shape[0] // heads
    return np.ascontiguousarray(w.reshape(heads, 2, rows // 2, -1).swapaxes(1, 2).reshape(w.shape))


def add_config(writer, config, kind):
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    writer.add_file_type(FILE_TYPES[kind])


def main():
    if len(sys.argv) != 4 or sys.argv[3] not in FILE_TYPES:
        sys.exit(__doc__)
    folder, out, kind = sys.argv[1:]
    config = json.load(open(os.path.join(folder, "config.json")))
    if config["model_type"] != "llama" or config.get("rope_scaling"):
        sys.exit(f"{folder}: the model is a '{config['model_type']}', rope_scaling {config.get('rope_scaling')}; this script knows llama without scaling")
    writer = gguf.GGUFWriter(out, "llama")
    add_config(writer, config, kind)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, w in load_file(os.path.join(folder, "model.safetensors")).items():
        to, w = gguf_name(name), w.astype(np.float32)
        part = to.split(".")[-2]
        if part in heads:
            w = interleaved(w, heads[part])
        dtype = gguf.GGMLQuantizationType[kind if w.ndim == 2 else "F32"]
        writer.add_tensor(to, gguf.quants.quantize(w, dtype), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
