#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"
#include "tests/tools/scratch.h"

/* XXH3-64 of the empty text with seed 0, as its authors publish it. */
static void nothing_has_the_published_hash(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0, 0) == 0x2D06800538D394C2ull);
    assert_true(hash_text("") == 0x2D06800538D394C2ull);
}

static void parts_hash_like_the_whole(void **state)
{
    (void)state;
    unsigned char bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + 3);
    for (size_t cut = 0; cut <= sizeof bytes; cut += 250) {
        struct hash_state *s = NULL;
        assert_int_equal(hash_begin(&s), OK);
        hash_update(s, bytes, cut);
        hash_update(s, bytes + cut, sizeof bytes - cut);
        assert_true(hash_value(s) == hash_bytes(bytes, sizeof bytes, 0));
        hash_end(&s);
        assert_null(s);
    }
    assert_true(hash_bytes(bytes, sizeof bytes, 1) != hash_bytes(bytes, sizeof bytes, 0));
}

static void a_file_hashes_like_its_bytes(void **state)
{
    (void)state;
    struct scratch scratch;
    uint64_t hash, n_bytes;
    scratch_make(&scratch);
    assert_int_equal(hash_file(scratch_write(&scratch, "f", "critique", 8), &hash, &n_bytes), OK);
    assert_true(hash == hash_text("critique"));
    assert_int_equal(n_bytes, 8);
    assert_int_equal(hash_file(scratch_path(&scratch, "none"), &hash, &n_bytes), FAILED);
    assert_non_null(strstr(trace_sentence(), "none"));
    trace_clear();
    scratch_remove(&scratch);
}

static void hexadecimal_comes_back_and_nothing_else_is_read(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "0", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", " 123456789abcdef"};
    char hex[HASH_HEX_SIZE];
    uint64_t back = 0;
    hash_to_hex(0x0123456789abcdefull, hex);
    assert_string_equal(hex, "0123456789abcdef");
    assert_int_equal(hash_from_hex(hex, &back), OK);
    assert_true(back == 0x0123456789abcdefull);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hash_from_hex(bad[i], &back), FAILED);
    trace_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_the_published_hash),
        cmocka_unit_test(parts_hash_like_the_whole),
        cmocka_unit_test(a_file_hashes_like_its_bytes),
        cmocka_unit_test(hexadecimal_comes_back_and_nothing_else_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
