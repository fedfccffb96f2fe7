/* config: what a run is told. Sections and keys are the YAML's; config.c holds the table with defaults, bounds and meanings. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/option.h"

typedef char config_text[OPTION_TEXT_SIZE];

enum objective_mode { MODE_CRITIC_RM, MODE_REWARD_ONLY, MODE_CRITIQUE_ONLY, MODE_JOINT };
enum pairing { PAIRING_ZIP, PAIRING_SAMPLE, PAIRING_CROSS };
enum critique_norm { NORM_TOKEN, NORM_SEQUENCE };
enum decay_shape { DECAY_CONSTANT, DECAY_LINEAR, DECAY_COSINE };
enum device_kind { DEVICE_CPU, DEVICE_CUDA };
enum recompute { RECOMPUTE_NONE, RECOMPUTE_LAYER };
enum batch_invariant { INVARIANT_AUTO, INVARIANT_ON, INVARIANT_OFF };
enum refine_mode { REFINE_RANK, REFINE_SUMMARISE, REFINE_NONE };
enum backbone_init { BACKBONE_PRETRAINED, BACKBONE_RANDOM };

struct config {
    struct { config_text dir; int64_t seed, rounds; bool regenerate_before_last_epoch; } run;
    struct { int kind, dtype, isa, batch_invariant, recompute; bool cuda_graphs; int64_t threads, watchdog_seconds, watchdog_io_seconds; double peak_tflops; } device;
    struct { int64_t data, tensor, micro_batch_tokens; bool allow_split; } mesh;
    struct { config_text path; int init; } backbone;
    struct { config_text token; } reward;
    struct {
        config_text train, pairs, benchmark, benchmark_file, eval, template, today_date, system, critique_prompt, judge_prompt, summarise_prompt, rank_prompt, verdict_prompt, correct_prompt;
        int64_t eval_last, max_path_tokens, max_critique_tokens, critiques_per_response, pairs_per_shard;
        double fraction;
        bool share_prefix;
    } data;
    struct {
        int64_t candidates, samples, responses, max_response_tokens, top_k, kv_memory_mb, batch_tokens, records_per_part;
        double temperature, score_temperature, top_p, min_p, min_scored, margin;
        config_text stop;
        bool force_score, keep_score_text, any_template;
        int refine;
    } generate;
    struct { int mode, pairing, critique_norm; int64_t epochs, pairs_per_step; double beta, lambda; bool ramp_inclusive; } objective;
    struct { double lr, reward_lr, beta1, beta2, eps, weight_decay, clip, warmup, reward_warmup; int schedule; } optimizer;
    struct { int64_t every, keep, stop_after; } checkpoint;
    struct { int64_t every, eval_every; } log;
};

const struct option_table *config_options(void);

/* Defaults, then the file (NULL: none), then the assignments. */
int config_load(const char *path, char *const *sets, int n_sets, struct config *out);

#endif
