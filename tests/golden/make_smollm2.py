#!/usr/bin/env python3
"""Golden logits of SmolLM2-135M-Instruct on real text: tests/golden/text/smollm2_logits.json.gz = [{"ids", "projection": [row][4], "top": [[row, id, logit]...], "loss"}, ...].

transformers, float32. A row of 49,152 logits is kept as four projections on fixed vectors of +1 and -1 (signs(), divided by the square root of the length), whose squared distance
is on average that of the rows; `top` has the five largest logits of every 16th row; `loss` is the mean negative log-likelihood of each text.
Run: ci/python.sh, ci/smollm2.sh, then .venv/bin/python tests/golden/make_smollm2.py
"""
import gzip, json, os
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

here = os.path.dirname(os.path.abspath(__file__))
folder = os.environ.get("CRITIC_RM_SMOLLM2", os.path.join(here, "..", "..", "models", "smollm2-135m-instruct"))
out = os.path.join(here, "text", "smollm2_logits.json.gz")

GETTYSBURG = """Four score and seven years ago our fathers brought forth, upon this continent, a new nation, conceived in liberty, and dedicated to the proposition that all men are created equal.

Now we are engaged in a great civil war, testing whether that nation, or any nation so conceived, and so dedicated, can long endure. We are met on a great battle-field of that war. We have come to dedicate a portion of that field, as a final resting-place for those who here gave their lives, that that nation might live. It is altogether fitting and proper that we should do this.

But, in a larger sense, we can not dedicate, we can not consecrate, we can not hallow, this ground. The brave men, living and dead, who struggled here, have consecrated it, far above our poor power to add or detract. The world will little note, nor long remember what we say here, but it can never forget what they did here. It is for us the living, rather, to be dedicated here to the unfinished work which they who fought here have thus far so nobly advanced. It is rather for us to be here dedicated to the great task remaining before us - that from these honored dead we take increased devotion to that cause for which they here gave the last full measure of devotion - that we here highly resolve that these dead shall not have died in vain - that this nation, under God, shall have a new birth of freedom, and that government of the people, by the people, for the people, shall not perish from the earth."""
CODE = """/* Rows [first + count, end) see the node whole. */
static int64_t rows_seen(const struct forest_node *node, int32_t n)
{
    int64_t seen = 0;
    for (int32_t i = 0; i < n; i++)
        seen += (int64_t)node[i].count * (node[i].end - node[i].first - node[i].count);
    return seen;
}
"""
CHAT = [{"role": "user", "content": "How many days are there in a leap year, and how do I know whether 2024 is one?"},
        {"role": "assistant", "content": "A leap year has 366 days. A year is a leap year when it can be divided by 4, except for years that can be divided by 100 and not by 400. "
                                         "2024 / 4 = 506, so 2024 is one."},
        {"role": "user", "content": "And 1900?"}]
MIXED = "Être ou ne pas être, voilà la question. Съешь же ещё этих мягких французских булок. 敏捷的棕色狐狸跳过了懒狗。 😀 1,234.56"


def signs(vocabulary):
    """[4, vocabulary] of +1 and -1: the low bits of splitmix64 of the token's number."""
    z = (np.arange(vocabulary, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.stack([1.0 - 2.0 * ((z >> np.uint64(k)) & np.uint64(1)).astype(np.float64) for k in range(4)])


def case(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:])).item()
    projection = logits.double().numpy() @ signs(logits.shape[1]).T / np.sqrt(logits.shape[1])
    top = [[row, int(i), float(f"{logits[row, i].item():.7g}")] for row in range(0, len(ids), 16) for i in logits[row].topk(5).indices]
    print(f"{len(ids)} tokens, perplexity {np.exp(loss):.2f}")
    return {"ids": ids, "projection": [[float(f"{x:.7g}") for x in row] for row in projection], "top": top, "loss": loss}


def main():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
    cases = [case(model, tokenizer(text, add_special_tokens=False).input_ids) for text in (GETTYSBURG, CODE, MIXED)]
    cases.append(case(model, tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)))
    with gzip.GzipFile(out, "wb", mtime=0) as f:
        f.write(json.dumps(cases).encode())


if __name__ == "__main__":
    main()
