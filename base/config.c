/* config: the one table of options. */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"

#define AT(section, key) #section, #key
#define OFFSET(section, key) offsetof(struct config, section.key)
#define TEXT(section, key, kind, standard, help) {AT(section, key), OPTION_TEXT, kind, OFFSET(section, key), standard, 0, 0, NULL, help}
#define INT(section, key, kind, standard, min, max, help) {AT(section, key), OPTION_INT, kind, OFFSET(section, key), standard, min, max, NULL, help}
#define NUMBER(section, key, kind, standard, min, max, help) {AT(section, key), OPTION_NUMBER, kind, OFFSET(section, key), standard, min, max, NULL, help}
#define BOOL(section, key, kind, standard, help) {AT(section, key), OPTION_BOOL, kind, OFFSET(section, key), standard, 0, 0, NULL, help}
#define CHOICE(section, key, kind, standard, choices, help) {AT(section, key), OPTION_CHOICE, kind, OFFSET(section, key), standard, 0, 0, choices, help}

static const struct option options[] = {
    TEXT(run, dir, PLACE, "run", "folder of the run: config, metrics, checkpoints; a run that is there is resumed"),
    INT(run, seed, NUMBERS | GENERATES, "1", 0, 9e15, "seed of every random number (order, pairing, initialisation, sampling)"),
    INT(run, rounds, PLACE, "1", 1, 100, "pipeline: times that critiques are written anew by the model just trained, and trained on again"),
    BOOL(run, regenerate_before_last_epoch, PLACE, "false", "pipeline: E-1 epochs critique-only, new critiques and D_sub by that model, then the last epoch from its weights"),

    CHOICE(device, kind, PLACE, "cpu", "cpu|cuda", "what computes: this machine's cores, or one GPU a rank, with NCCL between ranks"),
    CHOICE(device, dtype, NUMBERS | GENERATES, "float32", "float32|bf16", "type of weights and activations; sums, masters and moments are float32"),
    CHOICE(device, isa, PLACE, "auto", "auto|amx|avx512|avx2|scalar", "highest instruction set the CPU backend may use"),
    CHOICE(device, batch_invariant, PLACE, "auto", "auto|on|off", "scores are the same bits whatever else is in the batch, at some cost in speed; auto: in score and evaluate"),
    CHOICE(device, recompute, PLACE, "none", "none|layer", "keep all activations, or only each layer's input and run the layer again in the backward"),
    INT(device, threads, PLACE, "0", 0, 4096, "threads per rank; 0: the host's cores divided by its ranks"),
    BOOL(device, cuda_graphs, PLACE, "true", "on a GPU, with mesh.tensor 1 and bf16, each decoding step of generation is replayed as a CUDA graph, which is faster; of no effect elsewhere"),
    INT(device, watchdog_seconds, PLACE, "600", 0, 86400, "a rank that waits longer in one collective of a step or pass ends the job; 0: never"),
    INT(device, watchdog_io_seconds, PLACE, "3600", 0, 864000, "the same where files are read or written: at start, in a save, and for a command's output at its end; 0: never"),
    NUMBER(device, peak_tflops, PLACE, "0", 0, 1e6, "peak of one rank's device for mfu, in 1e12 operations a second; 0: a matrix product is measured at start"),

    INT(mesh, data, PLACE, "0", 0, 1e6, "data axis; 0: ranks / tensor"),
    INT(mesh, tensor, PLACE, "1", 1, 1024, "tensor axis: must divide the query heads, and divide or be a multiple of the key/value heads"),
    INT(mesh, micro_batch_tokens, PLACE, "16384", 16, 1e9, "most token rows of a micro-batch; at least 2 x data.max_path_tokens"),
    BOOL(mesh, allow_split, PLACE, "false", "let a tensor group span hosts"),

    TEXT(backbone, path, PLACE, "", "Hugging Face folder of the backbone: config.json, tokenizer.json, weights"),
    CHOICE(backbone, init, NUMBERS | GENERATES, "pretrained", "pretrained|random", "weights from the folder, or random"),

    TEXT(reward, token, NUMBERS | GENERATES, "", "token at which the reward is read; empty: the default of the template's family"),

    TEXT(data, train, PLACE, "", "training set: D_sub folder, or a file of preferences (reward-only) or conversations (critique-only)"),
    TEXT(data, pairs, PLACE, "", "pipeline: file of preferences that it begins with"),
    TEXT(data, benchmark, PLACE, "", "pipeline: benchmark that it ends with (see evaluate); empty: none"),
    TEXT(data, benchmark_file, PLACE, "", "pipeline: the benchmark's file"),
    TEXT(data, eval, PLACE, "", "held-out set, of the same kinds"),
    INT(data, eval_last, NUMBERS, "0", 0, 1e9, "hold out the last n pairs of the training set instead"),
    NUMBER(data, fraction, NUMBERS, "1", 0, 1, "part of the training pairs to use; fractions are nested"),
    INT(data, max_path_tokens, NUMBERS | GENERATES, "4096", 8, 1e7, "most tokens of prompt, response, instruction, critique, end of turn and reward token together"),
    INT(data, max_critique_tokens, NUMBERS | GENERATES, "1024", 1, 1e7, "most tokens that critique, refine, score and evaluate write for a critique, end of turn included; import leaves out longer ones"),
    INT(data, critiques_per_response, NUMBERS | GENERATES, "4", 1, 1000, "K: refine keeps or writes K critiques of a response, import keeps the first K"),
    TEXT(data, template, NUMBERS | GENERATES, "auto", "chat template: auto, llama3, llama3.1, chatml, mistral, or a template file"),
    TEXT(data, today_date, NUMBERS | GENERATES, "26 Jul 2024", "date in the system header of llama3.1"),
    TEXT(data, system, NUMBERS | GENERATES, "", "system message put before conversations that have none; empty: the template's own"),
    TEXT(data, critique_prompt, NUMBERS | GENERATES, "", "file of the critique instruction; empty: the built-in one"),
    TEXT(data, judge_prompt, GENERATES, "", "file of the judge instruction; empty: the built-in one"),
    TEXT(data, summarise_prompt, GENERATES, "", "file of the summarise instruction; empty: the built-in one"),
    TEXT(data, rank_prompt, GENERATES, "", "file of the rank instruction; empty: the built-in one"),
    TEXT(data, verdict_prompt, GENERATES, "", "file of the verdict instruction (evaluate criticbench); empty: the built-in one"),
    TEXT(data, correct_prompt, GENERATES, "", "file of the correct instruction (evaluate criticbench); empty: the built-in one"),
    BOOL(data, share_prefix, PLACE, "true", "compute shared prompts and responses once; false copies them into every path"),
    INT(data, pairs_per_shard, PLACE, "4096", 1, 1e9, "pairs in one shard file"),

    INT(generate, candidates, GENERATES, "10", 1, 1000, "N: critiques with a score sampled per response by critique, sample and evaluate --judge"),
    INT(generate, samples, GENERATES, "1", 1, 1000, "m: critiques sampled per response by score and evaluate; the reward is their mean"),
    INT(generate, responses, GENERATES, "4", 1, 1000, "responses sampled per prompt by sample"),
    INT(generate, max_response_tokens, GENERATES, "1024", 1, 1e7, "most tokens of a response that sample draws, and of an answer that evaluate criticbench has corrected"),
    NUMBER(generate, temperature, GENERATES, "1", 0, 100, "of candidates, summaries and responses; 0: greedy"),
    NUMBER(generate, score_temperature, GENERATES, "0.7", 0, 100, "of the critiques of score and evaluate where samples is above 1; a single one is greedy"),
    NUMBER(generate, top_p, GENERATES, "1", 0, 1, "sample from the smallest set of tokens that has this much of the probability; 1: from all"),
    INT(generate, top_k, GENERATES, "0", 0, 1e7, "sample from the k most probable tokens; 0: from all"),
    NUMBER(generate, min_p, GENERATES, "0", 0, 1, "leave out tokens less probable than this part of the most probable one; 0: none"),
    TEXT(generate, stop, GENERATES, "", "texts that end a generation and are cut off, parted by |"),
    BOOL(generate, force_score, GENERATES, "false", "begin the score's line for the judge and let only 1..10 follow, for weak judges; so with the verdict of evaluate criticbench"),
    BOOL(generate, keep_score_text, GENERATES, "false", "leave the judge's score line in the critique: the reward head can read the answer there"),
    NUMBER(generate, min_scored, GENERATES, "0.5", 0, 1, "part of the candidates of each response that must have a score, in refine and sample"),
    CHOICE(generate, refine, GENERATES, "rank", "rank|summarise|none", "how K critiques are made of the candidates"),
    NUMBER(generate, margin, GENERATES, "1", 0, 9, "sample makes a pair where the judge's mean scores of two responses differ by more"),
    BOOL(generate, any_template, GENERATES, "false", "score also with another chat template or critique instruction than the model was trained with"),
    INT(generate, kv_memory_mb, PLACE, "1024", 1, 1e7, "memory of the key/value cache of one rank, in MiB; it bounds how many sequences run at once; a record that it could never hold ends the job, or, with score and sample, has an error record"),
    INT(generate, batch_tokens, PLACE, "512", 16, 1e6, "most token rows of one pass: sequences at work and prompts being read"),
    INT(generate, records_per_part, PLACE, "32", 1, 1e6, "records in one part of critique and refine, most items in one of evaluate, and prompts of a rank between two writes of sample: what a killed job may have to do again"),

    CHOICE(objective, mode, NUMBERS, "critic-rm", "critic-rm|reward-only|critique-only|joint", "what is learnt"),
    CHOICE(objective, pairing, NUMBERS, "zip", "zip|sample|cross", "which critiques of the two responses are compared"),
    CHOICE(objective, critique_norm, NUMBERS, "token", "token|sequence", "normaliser of the critique loss"),
    INT(objective, epochs, NUMBERS, "2", 1, 10000, "E"),
    INT(objective, pairs_per_step, NUMBERS, "64", 1, 1e7, "pairs of one optimizer step"),
    NUMBER(objective, beta, NUMBERS, "0.9", 0, 1, "weight that the reward loss would reach at the end of the last epoch"),
    NUMBER(objective, lambda, NUMBERS, "0.3", 0, 1, "constant weight of the critique loss in mode joint"),
    BOOL(objective, ramp_inclusive, NUMBERS, "false", "start the ramp one step early, so that its last step has the full weight"),

    NUMBER(optimizer, lr, NUMBERS, "5e-6", 0, 10, "peak learning rate of the backbone"),
    NUMBER(optimizer, reward_lr, NUMBERS, "1e-5", 0, 10, "peak learning rate of the reward head"),
    NUMBER(optimizer, beta1, NUMBERS, "0.9", 0, 0.99999, "AdamW"),
    NUMBER(optimizer, beta2, NUMBERS, "0.95", 0, 0.99999, "AdamW"),
    NUMBER(optimizer, eps, NUMBERS, "1e-8", 1e-16, 1, "AdamW"),
    NUMBER(optimizer, weight_decay, NUMBERS, "0", 0, 10, "AdamW, of matrices"),
    NUMBER(optimizer, clip, NUMBERS, "1", 0, 1e9, "largest norm of the gradient; 0: not clipped"),
    NUMBER(optimizer, warmup, NUMBERS, "0.05", 0, 1, "part of all steps that warms the backbone's rate up"),
    NUMBER(optimizer, reward_warmup, NUMBERS, "0.05", 0, 1, "part of an epoch's steps that warms the head's rate up, from its first update"),
    CHOICE(optimizer, schedule, NUMBERS, "constant", "constant|linear|cosine", "after the warm-up"),

    INT(checkpoint, every, PLACE, "0", 0, 1e9, "steps between checkpoints; 0: only the last"),
    INT(checkpoint, keep, PLACE, "3", 1, 1e6, "checkpoints kept"),
    INT(checkpoint, stop_after, PLACE, "0", 0, 1e9, "save and stop (status 3) after this step; 0: never"),

    INT(log, every, PLACE, "1", 1, 1e9, "steps between progress lines"),
    INT(log, eval_every, PLACE, "0", 0, 1e9, "steps between evaluations; 0: after each epoch"),
};

static const struct option_table table = {options, sizeof options / sizeof *options};

const struct option_table *config_options(void) { return &table; }

int config_load(const char *path, char *const *sets, int n_sets, struct config *out)
{
    memset(out, 0, sizeof *out);
    options_default(&table, out);
    if (path) {
        char *text;
        size_t n_bytes;
        TRY(file_read(path, &text, &n_bytes));
        int status = options_parse_yaml(&table, text, n_bytes, path, out);
        free(text);
        TRY(status);
    }
    for (int i = 0; i < n_sets; i++)
        TRY(options_set(&table, sets[i], out));
    return OK;
}
