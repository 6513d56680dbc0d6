/* test_prefetch.c: steps prepared by a thread: they come in order, an error comes in its place with its text,
 * and the thread can be stopped at any time. */
#include "data/support_data.h"

#include <stdio.h>
#include <unistd.h>

#include "data/sample_priv.h"

struct source { /* what the thread works with */
    int64_t made, fails_at;
    useconds_t takes;
};

static berth_status next(void *user, struct prepared *out) {
    struct source *s = user;
    if (s->takes > 0) usleep(s->takes);
    if (s->made == s->fails_at) BERTH_FAIL(BERTH_E_FORMAT, "row %lld: cannot be prepared", (long long)s->made);
    out->epoch = 7;
    out->steps_done = s->made++;
    return BERTH_OK;
}

static void take_steps(struct prefetch *f, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        const struct prepared *step = NULL;
        double waited = -1;
        assert_ok(prefetch_take(f, &step, &waited));
        assert_int_equal(step->steps_done, i);
        assert_true(waited >= 0);
    }
}

static void expect_failure(struct prefetch *f, const char *text) {
    const struct prepared *step = NULL;
    double waited = 0;
    berth_error_clear();
    assert_int_equal(prefetch_take(f, &step, &waited), BERTH_E_FORMAT);
    assert_string_equal(berth_error_text(), text);
    assert_null(step);
}

static void errors_come_in_their_place(void **state) {
    (void)state;
    for (int64_t at = 0; at < 8; at++) {
        struct source s = {.fails_at = at};
        struct prefetch *f = NULL;
        char text[64];
        snprintf(text, sizeof text, "row %lld: cannot be prepared", (long long)at);
        assert_ok(prefetch_create(&f, next, &s, 1));
        take_steps(f, 0, at); /* what was prepared before it is still given */
        expect_failure(f, text);
        expect_failure(f, text);
        prefetch_stop(f); /* and after a stop it goes on from where the source is */
        s.fails_at = -1;
        take_steps(f, at, at + 5);
        prefetch_free(f);
    }
}

static void slow_and_quick_sides(void **state) {
    (void)state;
    static const useconds_t takes[] = {0, 300};
    for (int i = 0; i < 2; i++) {
        struct source s = {.fails_at = -1, .takes = takes[i]};
        struct prefetch *f = NULL;
        assert_ok(prefetch_create(&f, next, &s, 2));
        for (int64_t k = 0; k < 50; k++) {
            take_steps(f, k, k + 1);
            if (i == 0 && k % 10 == 0) usleep(300);
        }
        prefetch_stop(f);
        assert_true(s.made >= 50 && s.made <= 50 + PREFETCH_SLOTS); /* no more than the slots ahead */
        prefetch_free(f);
    }
}

static void stops_at_any_time(void **state) {
    (void)state;
    for (useconds_t wait = 0; wait < 400; wait += 20) {
        struct source s = {.fails_at = -1, .takes = 50};
        struct prefetch *f = NULL;
        assert_ok(prefetch_create(&f, next, &s, 1));
        prefetch_stop(f); /* never started */
        take_steps(f, 0, 1);
        if (wait > 0) usleep(wait);
        prefetch_free(f);
    }
    prefetch_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_come_in_their_place),
        cmocka_unit_test(slow_and_quick_sides),
        cmocka_unit_test(stops_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
