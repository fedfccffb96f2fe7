"""prompts.py: the prompts of bench_generate.py, the same for every peer: ids all over the vocabulary, different in every sequence."""


def prompts(n_sequences, n_tokens, vocabulary):
    return [[((s * n_tokens + i) * 2654435761 % 2 ** 32) * vocabulary >> 32 for i in range(n_tokens)] for s in range(n_sequences)]
