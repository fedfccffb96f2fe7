#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/status.h"
#include "tests/tools/scratch.h"

static void defaults_are_sound(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(config_load(NULL, NULL, 0, &c), OK);
    assert_true(c.objective.mode == MODE_CRITIC_RM && c.objective.pairing == PAIRING_ZIP && c.objective.critique_norm == NORM_TOKEN);
    assert_true(c.objective.beta == 0.9 && c.objective.lambda == 0.3 && c.objective.epochs == 2 && c.objective.pairs_per_step == 64);
    assert_true(c.optimizer.lr == 5e-6 && c.optimizer.reward_lr == 1e-5 && c.optimizer.schedule == DECAY_CONSTANT);
    assert_true(c.mesh.tensor == 1 && c.mesh.micro_batch_tokens == 16384 && c.data.share_prefix && c.data.fraction == 1.0);
    assert_string_equal(c.data.today_date, "26 Jul 2024");
    assert_string_equal(c.run.dir, "run");
}

/* The words of a choice and its enum are written in two files: every pair is checked. */
static void every_choice_means_its_enum(void **state)
{
    (void)state;
    static const struct { const char *set; size_t offset; int value; } choice[] = {
        {"objective.mode=critic-rm", offsetof(struct config, objective.mode), MODE_CRITIC_RM},
        {"objective.mode=reward-only", offsetof(struct config, objective.mode), MODE_REWARD_ONLY},
        {"objective.mode=critique-only", offsetof(struct config, objective.mode), MODE_CRITIQUE_ONLY},
        {"objective.mode=joint", offsetof(struct config, objective.mode), MODE_JOINT},
        {"objective.pairing=zip", offsetof(struct config, objective.pairing), PAIRING_ZIP},
        {"objective.pairing=sample", offsetof(struct config, objective.pairing), PAIRING_SAMPLE},
        {"objective.pairing=cross", offsetof(struct config, objective.pairing), PAIRING_CROSS},
        {"objective.critique_norm=token", offsetof(struct config, objective.critique_norm), NORM_TOKEN},
        {"objective.critique_norm=sequence", offsetof(struct config, objective.critique_norm), NORM_SEQUENCE},
        {"optimizer.schedule=constant", offsetof(struct config, optimizer.schedule), DECAY_CONSTANT},
        {"optimizer.schedule=linear", offsetof(struct config, optimizer.schedule), DECAY_LINEAR},
        {"optimizer.schedule=cosine", offsetof(struct config, optimizer.schedule), DECAY_COSINE},
        {"device.recompute=none", offsetof(struct config, device.recompute), RECOMPUTE_NONE},
        {"device.recompute=layer", offsetof(struct config, device.recompute), RECOMPUTE_LAYER},
        {"device.dtype=float32", offsetof(struct config, device.dtype), 0},
        {"device.dtype=bf16", offsetof(struct config, device.dtype), 1},
        {"backbone.init=pretrained", offsetof(struct config, backbone.init), BACKBONE_PRETRAINED},
        {"backbone.init=random", offsetof(struct config, backbone.init), BACKBONE_RANDOM},
    };
    for (size_t i = 0; i < sizeof choice / sizeof *choice; i++) {
        struct config c;
        char set[64];
        strcpy(set, choice[i].set);
        assert_int_equal(config_load(NULL, (char *[]){set}, 1, &c), OK);
        assert_int_equal(*(int *)((char *)&c + choice[i].offset), choice[i].value);
    }
}

static size_t field_bytes(const struct option *o)
{
    return o->type == OPTION_TEXT ? OPTION_TEXT_SIZE : o->type == OPTION_BOOL ? sizeof(bool) : o->type == OPTION_CHOICE ? sizeof(int) : 8;
}

static void keys_are_unique_explained_and_do_not_overlap(void **state)
{
    (void)state;
    const struct option_table *table = config_options();
    char *owned = calloc(1, sizeof(struct config));
    assert_non_null(owned);
    for (int i = 0; i < table->n; i++) {
        const struct option *o = &table->option[i];
        assert_true(strlen(o->help) > 0);
        assert_true(o->offset + field_bytes(o) <= sizeof(struct config));
        for (size_t j = 0; j < field_bytes(o); j++)
            assert_int_equal(owned[o->offset + j]++, 0);
        for (int j = 0; j < i; j++)
            assert_false(strcmp(o->section, table->option[j].section) == 0 && strcmp(o->key, table->option[j].key) == 0);
    }
    free(owned);
}

static void assignments_win_over_the_file(void **state)
{
    (void)state;
    static const char text[] = "run:\n  seed: 5\nobjective:\n  epochs: 3\n";
    struct scratch scratch;
    struct config c;
    char set[] = "run.seed=7";
    scratch_make(&scratch);
    assert_int_equal(config_load(scratch_write(&scratch, "c.yaml", text, sizeof text - 1), (char *[]){set}, 1, &c), OK);
    assert_true(c.run.seed == 7 && c.objective.epochs == 3);
    assert_int_equal(config_load(scratch_path(&scratch, "none.yaml"), NULL, 0, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "none.yaml"));
    trace_clear();
    scratch_remove(&scratch);
}

static void place_may_change_and_numbers_may_not(void **state)
{
    (void)state;
    static const char *const place[] = {"run.dir=x", "mesh.data=4", "mesh.micro_batch_tokens=64", "device.threads=3", "data.share_prefix=false", "backbone.path=moved"};
    static const char *const numbers[] = {"run.seed=2", "optimizer.lr=1e-6", "objective.beta=0.8", "data.fraction=0.1", "device.dtype=bf16"};
    struct config base, c;
    char set[64], a[OPTION_TEXT_SIZE], b[OPTION_TEXT_SIZE];
    assert_int_equal(config_load(NULL, NULL, 0, &base), OK);
    for (size_t i = 0; i < sizeof place / sizeof *place; i++) {
        strcpy(set, place[i]);
        assert_int_equal(config_load(NULL, (char *[]){set}, 1, &c), OK);
        assert_null(options_difference(config_options(), NUMBERS, &base, &c, a, b));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        strcpy(set, numbers[i]);
        assert_int_equal(config_load(NULL, (char *[]){set}, 1, &c), OK);
        assert_non_null(options_difference(config_options(), NUMBERS, &base, &c, a, b));
        assert_true(options_hash(config_options(), NUMBERS, &base) != options_hash(config_options(), NUMBERS, &c));
    }
}

static void the_resolved_config_gives_the_same_bytes(void **state)
{
    (void)state;
    struct scratch scratch;
    struct config c, back;
    char *yaml, one[] = "data.train=it's here/x.jsonl.gz", two[] = "optimizer.lr=0.1";
    scratch_make(&scratch);
    assert_int_equal(config_load(NULL, (char *[]){one, two}, 2, &c), OK);
    assert_int_equal(options_write_yaml(config_options(), &c, &yaml), OK);
    assert_int_equal(config_load(scratch_write(&scratch, "config.yaml", yaml, strlen(yaml)), NULL, 0, &back), OK);
    assert_memory_equal(&c, &back, sizeof c);
    free(yaml);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_sound),
        cmocka_unit_test(every_choice_means_its_enum),
        cmocka_unit_test(keys_are_unique_explained_and_do_not_overlap),
        cmocka_unit_test(assignments_win_over_the_file),
        cmocka_unit_test(place_may_change_and_numbers_may_not),
        cmocka_unit_test(the_resolved_config_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
