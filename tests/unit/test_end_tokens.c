#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/status.h"
#include "dataset/end_tokens.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;

static void write_file(const char *name, const char *text) { scratch_write(&scratch, name, text, strlen(text)); }

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static void the_list_of_generation_config_counts(void **state)
{
    struct end_tokens ends;
    (void)state;
    write_file("config.json", "{\"eos_token_id\": 7}");
    write_file("generation_config.json", "{\"eos_token_id\": [128001, 128008, 128009]}");
    assert_int_equal(end_tokens_read(scratch.dir, &ends), OK);
    assert_int_equal(ends.n, 3);
    assert_true(end_tokens_have(&ends, 128001) && end_tokens_have(&ends, 128008) && end_tokens_have(&ends, 128009));
    assert_false(end_tokens_have(&ends, 7));
}

static void config_counts_where_generation_config_names_none(void **state)
{
    struct end_tokens ends;
    (void)state;
    write_file("config.json", "{\"eos_token_id\": 7}");
    write_file("generation_config.json", "{\"temperature\": 0.6}");
    assert_int_equal(end_tokens_read(scratch.dir, &ends), OK);
    assert_int_equal(ends.n, 1);
    assert_true(end_tokens_have(&ends, 7));
}

static void a_folder_may_name_none(void **state)
{
    struct end_tokens ends;
    (void)state;
    assert_int_equal(end_tokens_read(scratch.dir, &ends), OK);
    assert_int_equal(ends.n, 0);
    write_file("config.json", "{\"eos_token_id\": null}");
    assert_int_equal(end_tokens_read(scratch.dir, &ends), OK);
    assert_int_equal(ends.n, 0);
}

static void what_is_no_token_is_refused(void **state)
{
    static const char *const wrong[] = {"{\"eos_token_id\": \"</s>\"}", "{\"eos_token_id\": [1, 2.5]}", "{\"eos_token_id\": -1}", "{\"eos_token_id\": [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}"};
    struct end_tokens ends;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file("config.json", wrong[i]);
        assert_int_equal(end_tokens_read(scratch.dir, &ends), FAILED);
        assert_non_null(strstr(trace_sentence(), "eos_token_id"));
        trace_clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_list_of_generation_config_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(config_counts_where_generation_config_names_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_may_name_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_token_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
