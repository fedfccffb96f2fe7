/* mesh_order: tensor groups sit in one host. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/status.h"
#include "comm/mesh_order.h"

static void refused(int status, const char *part)
{
    assert_int_equal(status, USAGE);
    if (!strstr(trace_sentence(), part))
        fail_msg("'%s' does not say '%s'", trace_sentence(), part);
    trace_clear();
}

static void ranks_dealt_in_turn_to_two_hosts_are_put_together_by_host(void **state)
{
    (void)state;
    const int host[] = {0, 1, 0, 1, 0, 1, 0, 1}, want[] = {0, 2, 4, 6, 1, 3, 5, 7};
    int order[8], data = 0;
    assert_int_equal(mesh_order(host, 8, &data, 4, false, order), OK);
    assert_int_equal(data, 2);
    assert_memory_equal(order, want, sizeof want);
}

static void the_order_of_one_host_is_the_worlds(void **state)
{
    (void)state;
    const int host[6] = {0}, want[] = {0, 1, 2, 3, 4, 5};
    int order[6], data = 3;
    assert_int_equal(mesh_order(host, 6, &data, 2, false, order), OK);
    assert_int_equal(data, 3);
    assert_memory_equal(order, want, sizeof want);
}

static void a_tensor_group_over_two_hosts_needs_allow_split(void **state)
{
    (void)state;
    const int host[] = {0, 0, 0, 1, 1, 1}, want[] = {0, 1, 2, 3, 4, 5};
    int order[6], data = 0;
    refused(mesh_order(host, 6, &data, 2, false, order), "would span hosts (ranks 2 and 3)");
    assert_int_equal(mesh_order(host, 6, &data, 2, true, order), OK);
    assert_memory_equal(order, want, sizeof want);
}

static void axes_that_do_not_multiply_to_the_ranks_are_refused_with_the_numbers(void **state)
{
    (void)state;
    const int host[6] = {0};
    int order[6], data = 0;
    refused(mesh_order(host, 6, &data, 4, false, order), "does not divide the 6 ranks");
    data = 2;
    refused(mesh_order(host, 6, &data, 2, false, order), "is 4 ranks, but 6 were started");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_dealt_in_turn_to_two_hosts_are_put_together_by_host),
        cmocka_unit_test(the_order_of_one_host_is_the_worlds),
        cmocka_unit_test(a_tensor_group_over_two_hosts_needs_allow_split),
        cmocka_unit_test(axes_that_do_not_multiply_to_the_ranks_are_refused_with_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
