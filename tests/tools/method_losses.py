"""method_losses.py: the losses of the method (method.md, section 3) by a causal LM of transformers and a reward head [1, hidden], path by path: each critique's path is a row of its own
(x, y with the instruction, z, reward token), nothing is shared. A pair is {"prompt", "sides": 2 x {"response", "critiques"}} of token ids. Tensors are on torch's default device; losses are computed in
float32 whatever the type of the model."""
import torch
import torch.nn.functional as F


def hidden_of(model, path):
    return model.model(input_ids=torch.tensor([path]), use_cache=False).last_hidden_state[0]


def critique_loss(model, pairs, norm):
    total, targets = 0.0, 0
    for pair in pairs:
        for side in pair["sides"]:
            for z in side["critiques"]:
                before = pair["prompt"] + side["response"]
                logits = model.lm_head(hidden_of(model, before + z))[len(before) - 1:-1].float()
                summed = F.cross_entropy(logits, torch.tensor(z), reduction="sum")
                total = total + (summed if norm == "token" else summed / len(side["critiques"]))
                targets += len(z)
    return total / (targets if norm == "token" else len(pairs))


def reward(model, head, path, reward_token):
    return hidden_of(model, path + [reward_token])[-1].float() @ head[0]


def zipped(pair):
    return [(k, k) for k in range(min(len(side["critiques"]) for side in pair["sides"]))]


def reward_loss(model, head, pairs, reward_token, comparisons=zipped):
    total = 0.0
    for pair in pairs:
        r = [[reward(model, head, pair["prompt"] + side["response"] + z, reward_token) for z in side["critiques"]] for side in pair["sides"]]
        terms = [F.softplus(-(r[0][i] - r[1][j])) for i, j in comparisons(pair)]
        total = total + sum(terms) / len(terms)
    return total / len(pairs)


def reward_only_loss(model, head, pairs, reward_token, n_lead_in):
    r = lambda pair, s: reward(model, head, pair["prompt"] + pair["sides"][s]["response"][:-n_lead_in], reward_token)
    return sum(F.softplus(-(r(pair, 0) - r(pair, 1))) for pair in pairs) / len(pairs)
