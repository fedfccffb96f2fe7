#!/usr/bin/env python3
"""Golden chat templates: tests/golden/text/templates.json.gz = {NAME: [{"messages": [...], "response", "critique", "prompt", "answered", "judged"}, ...]}.

`prompt` is what a model's own Jinja template, run by transformers, makes of the messages with the assistant's header behind them; `answered` adds the response and the instruction
as a user's turn and the next header; `judged` adds the critique, with no header behind it. Messages are the strings of bytelevel.json.gz.
Run: .venv/bin/python tests/golden/make_template.py NAME=FOLDER ... with folders that hold the tokenizer_config.json of Llama 3 (llama3), Llama 3.1 (llama3.1), SmolLM2 (chatml)
and Mistral 7B Instruct v0.3 (mistral); names that are not given keep what is committed.
"""
import gzip, json, os, sys
from transformers.utils.chat_template_utils import _compile_jinja_template

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "text", "templates.json.gz")
INSTRUCTION = "What is good and what is bad about it?"

def read(path):
    with gzip.open(path) as f:
        return json.load(f)

def conversation(texts, i, with_system):
    """Every fourth has a system message, every third a turn behind it, in all combinations."""
    messages = [{"role": "system", "content": texts[(i + 7) % len(texts)]}] if with_system and i % 4 == 1 else []
    if i % 3 == 2:
        messages += [{"role": "user", "content": texts[(i + 3) % len(texts)]}, {"role": "assistant", "content": texts[(i + 5) % len(texts)]}]
    return messages + [{"role": "user", "content": texts[i]}]

def cases(name, config, texts):
    template = _compile_jinja_template(config["chat_template"])
    token = lambda key: config[key]["content"] if isinstance(config.get(key), dict) else config.get(key) or ""
    def render(messages, header):
        return template.render(messages=messages, add_generation_prompt=header, bos_token=token("bos_token"), eos_token=token("eos_token"), date_string="26 Jul 2024")
    for i in range(len(texts)):
        messages, response, critique = conversation(texts, i, name != "mistral"), texts[(i + 1) % len(texts)], texts[(i + 2) % len(texts)]
        answered = messages + [{"role": "assistant", "content": response}, {"role": "user", "content": INSTRUCTION}]
        yield {"messages": messages, "response": response, "critique": critique, "prompt": render(messages, True), "answered": render(answered, True),
               "judged": render(answered + [{"role": "assistant", "content": critique}], False)}

def main():
    texts = [text for text, _ in read(os.path.join(here, "text", "bytelevel.json.gz"))["cases"]]
    golden = read(out) if os.path.exists(out) else {}
    for argument in sys.argv[1:]:
        name, folder = argument.split("=", 1)
        with open(os.path.join(folder, "tokenizer_config.json")) as f:
            golden[name] = list(cases(name, json.load(f), texts))
    with gzip.GzipFile(out, "wb", mtime=0) as f:
        f.write(json.dumps(golden, ensure_ascii=False, sort_keys=True).encode())

if __name__ == "__main__":
    main()
