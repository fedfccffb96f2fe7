#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "launch/serve_place.h"
#include "tests/tools/scratch.h"

#define TOKEN "0123456789abcdef"

static void refused(int status, const char *port, const char *address, const char *token_file, const char *part)
{
    struct serve_place place;
    assert_int_equal(serve_place_open(port, address, token_file, &place), status);
    if (!strstr(trace_sentence(), part))
        fail_msg("'%s' is not in '%s'", part, trace_sentence());
    trace_clear();
    serve_place_close(&place);
}

static void a_port_is_a_number_of_16_bits(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "-1", "+1", " 80", "80 ", "65536", "100000", "99999999999999999999", "8e3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(USAGE, bad[i], NULL, NULL, "--serve takes a port");
}

static void without_a_token_only_this_machine_is_listened_to(void **state)
{
    (void)state;
    static const char *const open[] = {"0.0.0.0", "::", "10.0.0.1", "126.255.255.255", "128.0.0.1", "::ffff:127.0.0.1", "fe80::1"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        refused(USAGE, "0", open[i], NULL, "--token-file");
    refused(USAGE, "0", "localhost", NULL, "--listen takes an address in digits");
    refused(USAGE, "0", "127.0.0.1.1", NULL, "--listen takes an address in digits");
}

static void the_port_is_taken_when_it_is_opened_and_named_when_it_listens(void **state)
{
    (void)state;
    struct serve_place place;
    assert_int_equal(serve_place_open("0", NULL, NULL, &place), OK);
    assert_int_equal(serve_place_listen(&place), OK);
    assert_int_equal(strncmp(place.name, "127.0.0.1:", 10), 0);
    assert_true(atoi(place.name + 10) > 0);
    refused(FAILED, place.name + 10, NULL, NULL, "cannot listen on 127.0.0.1, port ");
    serve_place_close(&place);
    assert_int_equal(place.socket, -1);
}

static void with_a_token_all_interfaces_are_listened_to_unless_one_is_named(void **state)
{
    (void)state;
    struct scratch scratch;
    struct serve_place place;
    scratch_make(&scratch);
    const char *file = scratch_write(&scratch, "token", TOKEN "\n", 17);
    assert_int_equal(serve_place_open("0", NULL, file, &place), OK);
    assert_int_equal(serve_place_listen(&place), OK);
    assert_int_equal(strncmp(place.name, "0.0.0.0:", 8), 0);
    serve_place_close(&place);
    assert_int_equal(serve_place_open("0", "127.0.0.2", file, &place), OK);
    assert_int_equal(serve_place_listen(&place), OK);
    assert_int_equal(strncmp(place.name, "127.0.0.2:", 10), 0);
    serve_place_close(&place);
    scratch_remove(&scratch);
}

static void a_token_is_one_line_of_printable_characters(void **state)
{
    (void)state;
    struct scratch scratch;
    char long_token[SERVE_TOKEN_SIZE + 1];
    scratch_make(&scratch);
    memset(long_token, 'x', sizeof long_token);
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", "\n", 1), "a token has 16 to 256 characters, this one 0");
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", "short", 5), "this one 5");
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", long_token, SERVE_TOKEN_SIZE), "this one 257");
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", TOKEN "\n" TOKEN "\n", 34), "character 17 of the token");
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", TOKEN "\xc3\xa9", 18), "character 17 of the token");
    refused(USAGE, "0", NULL, scratch_write(&scratch, "t", TOKEN "\0x", 18), "character 17 of the token");
    refused(FAILED, "0", NULL, scratch_path(&scratch, "none"), "none");
    scratch_remove(&scratch);
}

static void only_the_whole_token_is_admitted(void **state)
{
    (void)state;
    static const struct { const char *header; bool admitted; } cases[] = {
        {"Bearer " TOKEN, true}, {"bearer " TOKEN, true}, {NULL, false}, {"", false}, {"Bearer", false}, {"Bearer ", false}, {TOKEN, false}, {"Basic " TOKEN, false}, {"Bearer 0123456789abcde", false},
        {"Bearer " TOKEN "0", false}, {"Bearer 0123456789abcdeF", false}, {"Bearer 1123456789abcdef", false}, {"Bearer  " TOKEN, false}, {"Bearer " TOKEN " ", false}};
    struct serve_place none = {.socket = -1}, place = {.socket = -1, .has_token = true, .token = TOKEN};
    char long_header[2000] = "Bearer " TOKEN;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(serve_place_admits(&place, cases[i].header), cases[i].admitted);
        assert_true(serve_place_admits(&none, cases[i].header));
    }
    memset(long_header + 23, 'x', sizeof long_header - 24);
    assert_false(serve_place_admits(&place, long_header));
    memset(place.token, 'x', SERVE_TOKEN_SIZE - 1);
    memset(long_header + 7, 'x', sizeof long_header - 8);
    assert_false(serve_place_admits(&place, long_header));
    long_header[7 + SERVE_TOKEN_SIZE - 1] = 0;
    assert_true(serve_place_admits(&place, long_header));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_is_a_number_of_16_bits),
        cmocka_unit_test(without_a_token_only_this_machine_is_listened_to),
        cmocka_unit_test(the_port_is_taken_when_it_is_opened_and_named_when_it_listens),
        cmocka_unit_test(with_a_token_all_interfaces_are_listened_to_unless_one_is_named),
        cmocka_unit_test(a_token_is_one_line_of_printable_characters),
        cmocka_unit_test(only_the_whole_token_is_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
