#!/usr/bin/env python3
"""Golden greedy continuations of transformers' generate, float32: tests/golden/generate/, read by test_generate.c.

    qwen3.json      the tiny random Qwen3 of tests/golden/model/qwen3; prompts are random ids, of 16 drawn the one whose continuation repeats itself least: with tied random weights most
                    continuations soon say one token over and over, and would be the same with a wrong cache
    smollm2.json    SmolLM2-135M-Instruct; prompts are conversations rendered by its own template, four of them cut to their first few tokens

Each is {"masked": [id...], "prompt": [32][3 to 120 ids], "new": [32][64 ids], "gap": [32][64]}. Every prompt was continued alone, so without padding, by 64 tokens, end of turn or not.
"masked" tokens were never chosen (in the tiny model its reward token, which sampling masks); the rest of the vocabulary was free.
gap[p][i] is the largest logit less the second largest, masked ones left out, where new[p][i] was chosen, to three digits. A token chosen by less than 1e-4 is not settled in float32:
a comparison of prompt p ends before the first i with gap[p][i] < 1e-4, since all that follows hangs on it.
Run: ci/python.sh, ci/smollm2.sh, tests/golden/make_model.py, then .venv/bin/python tests/golden/make_generate.py
"""
import json, os, random
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

here = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(here, "generate")
TINY = os.path.join(here, "model", "qwen3")
SMOLLM2 = os.environ.get("CRITIC_RM_SMOLLM2", os.path.join(here, "..", "..", "models", "smollm2-135m-instruct"))
PROMPTS, NEW, SETTLED = 32, 64, 1e-4
REWARD_TOKEN = 60       # of make_model.py, the last of its vocabulary
LENGTHS = [3, 120] + [4 + 37 * i % 113 for i in range(PROMPTS - 2)]
CUT = {0: 3, 8: 7, 16: 17, 24: 33}      # prompt: its first tokens only

CONVERSATIONS = [
    ["Hello!"],
    ["What is the capital of France?"],
    ["Write one sentence about the sea."],
    ["Why is the sky blue? Answer for a child of six."],
    ["Name three fruits.", "Apples, pears and plums.", "And three vegetables?"],
    ["def add(a, b):\n    return a - b\n\nThis should add two numbers. What is wrong with it?"],
    ["Translate into German: The train is late again."],
    ["Quelle heure est-il à Tokyo quand il est midi à Paris ?"],
    ["Give me a recipe for pancakes with no eggs."],
    ["How many seconds are there in a day? Show the multiplication."],
    ["Is 91 a prime number?"],
    ["Summarise in ten words: A crow, half-dead with thirst, came upon a pitcher which had once been full of water; but when the crow put its beak into the mouth of the pitcher he found "
     "that only very little water was left in it, and that he could not reach far enough down to get at it. He tried, and he tried, but at last had to give up in despair. Then he "
     "thought of a plan and dropped pebbles into it."],
    ["Tell me a joke about a programmer."],
    ["My sister is angry with me because I forgot her birthday. What should I write to her?"],
    ["List the planets from the sun outwards, separated by commas."],
    ["What does the Latin phrase 'carpe diem' mean?", "It means 'seize the day'.", "Who wrote it?"],
    ["Explain how a bicycle stays upright while it moves."],
    ["Continue: 1, 1, 2, 3, 5, 8,"],
    ["Which is heavier, a kilogram of feathers or a kilogram of lead? Think step by step, then give the answer on a line of its own."],
    ["Write an SQL query for the names of all customers who ordered more than three times in 2023. Tables: customers(id, name), orders(id, customer_id, day)."],
    ["Rate this answer from 1 to 10 and say why.\n\nQuestion: What is the boiling point of water?\nAnswer: Water boils at 90 degrees Celsius everywhere on Earth.\n\nEnd with a line `Score: n`."],
    ["What can I do when I cannot sleep?"],
    ["Who painted the Mona Lisa, and where does it hang today?"],
    ["Сколько дней в високосном году?"],
    ["Make a packing list for two days of walking in the mountains in autumn, with a tent, for one person who is always cold. Keep it under fifteen items, and sort them by weight."],
    ["Correct the spelling: I recieved teh pakage yesterdey."],
    ["What is the difference between a list and a tuple in Python?", "A list can be changed after it was made, a tuple cannot.", "Then why would anybody use a tuple?"],
    ["Give me a name for a black cat."],
    ["A train leaves at 9:40 and arrives at 13:05. It stops for 12 minutes on the way. How long was it moving, and how fast on average if the way is 290 km long?"],
    ["Name a word that rhymes with 'orange'."],
    ["写一句关于春天的话。"],
    ["In two sentences, what did the Wright brothers do in 1903 at Kitty Hawk, and why did the newspapers hardly notice it at first?"],
]


def tiny_prompts(model):
    draw = random.Random(7)
    drawn = [[[draw.randrange(REWARD_TOKEN) for _ in range(n)] for _ in range(16)] for n in LENGTHS]
    return [max(prompts, key=lambda x: len(set(continued(model, x, [REWARD_TOKEN])[0]))) for prompts in drawn]


def chat_prompts(_):
    tokenizer = AutoTokenizer.from_pretrained(SMOLLM2)
    render = lambda turns: [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(turns)]
    ids = [tokenizer.apply_chat_template(render(turns), add_generation_prompt=True) for turns in CONVERSATIONS]
    return [x[:CUT.get(i)] for i, x in enumerate(ids)]


def continued(model, prompt, masked):
    """The 64 tokens that generate appends, and the gap at each."""
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW, suppress_tokens=masked or None, output_scores=True, return_dict_in_generate=True)
    top = torch.stack([scores[0].topk(2).values for scores in out.scores])
    return out.sequences[0, len(prompt):].tolist(), [float(f"{gap:.3g}") for gap in (top[:, 0] - top[:, 1]).tolist()]


def write(name, folder, make_prompts, masked):
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config.eos_token_id = None
    prompts = make_prompts(model)
    new, gap = zip(*[continued(model, prompt, masked) for prompt in prompts])
    assert len(prompts) == PROMPTS and all(len(x) == NEW for x in new)
    lists = {"prompt": prompts, "new": new, "gap": gap}
    with open(os.path.join(OUT, name), "w") as f:
        f.write(json.dumps({"masked": masked})[:-1] + "".join(f',\n"{key}": [\n' + ",\n".join(json.dumps(x, separators=(",", ":")) for x in rows) + "]" for key, rows in lists.items()) + "}\n")
    settled = [next((i for i, g in enumerate(x) if g < SETTLED), NEW) for x in gap]
    lengths = [len(x) for x in prompts]
    print(f"{name}: prompts of {min(lengths)} to {max(lengths)} tokens; {sum(settled)} of {PROMPTS * NEW} tokens to compare; {len(set(sum(new, [])))} different tokens; smallest gap {min(map(min, gap))}")


def main():
    os.makedirs(OUT, exist_ok=True)
    write("qwen3.json", TINY, tiny_prompts, [REWARD_TOKEN])
    write("smollm2.json", SMOLLM2, chat_prompts, [])


if __name__ == "__main__":
    main()
