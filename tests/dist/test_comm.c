/* test_comm.c: ranks as threads and as processes: sums in a fixed order, broadcast, failure and death of one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dist/shared_priv.h"

enum { MOST = 5, LONG = 300 * 1000 + 7 }; /* LONG: more than one slot of floats */

/* What rank r brings: numbers whose sum depends on the order. */
static float brought(int rank, int64_t i) {
    return (float)((i * 2654435761u + (unsigned)rank * 40503u) % 100003u) * (rank % 2 ? 1e-3f : 7.77f) - 13.7f;
}
static float tree(int low, int high, int64_t i) {
    if (high - low == 1) return brought(low, i);
    int middle = low + (high - low) / 2;
    return tree(low, middle, i) + tree(middle, high, i);
}

struct member {
    struct berth_comm *comm;
    pthread_t thread;
    berth_status status;
    char text[256];
    float *data;
    double numbers[3];
    char told[40];
};

static berth_status exchange(struct member *m) {
    berth_status status = BERTH_OK;
    struct berth_comm *c = m->comm;
    struct berth_device *dev = NULL;
    BERTH_TRY_OUT(berth_device_open(&dev, "cpu"));
    for (int round = 0; round < 3; round++) {
        for (int64_t i = 0; i < LONG; i++)
            m->data[i] = brought(c->rank, i);
        BERTH_TRY_OUT(berth_comm_sum(c, dev, m->data, LONG));
        m->numbers[0] = 1;
        m->numbers[1] = c->rank;
        m->numbers[2] = c->rank == 1 ? 0.125 : 0;
        BERTH_TRY_OUT(berth_comm_sum_host(c, m->numbers, 3));
        snprintf(m->told, sizeof m->told, "said by rank %d in round %d", c->rank, round);
        BERTH_TRY_OUT(berth_comm_broadcast(c, m->told, sizeof m->told));
        BERTH_TRY_OUT(berth_comm_barrier(c));
    }
out:
    berth_device_close(dev);
    return status;
}

static void *run_exchange(void *user) {
    struct member *m = user;
    m->status = exchange(m);
    snprintf(m->text, sizeof m->text, "%s", berth_error_text());
    if (m->status != BERTH_OK) berth_comm_fail(m->comm, m->status, m->text);
    return NULL;
}

/* Rank 1 fails after one barrier; the others wait for it in the next. */
static void *run_failure(void *user) {
    struct member *m = user;
    m->status = berth_comm_barrier(m->comm);
    if (m->status == BERTH_OK && m->comm->rank == 1) {
        m->status = berth_error_set(BERTH_E_NUMERIC, __FILE__, __LINE__, "the loss is nan");
        berth_comm_fail(m->comm, m->status, berth_error_text());
    } else if (m->status == BERTH_OK) {
        m->status = berth_comm_sum_host(m->comm, m->numbers, 3);
    }
    snprintf(m->text, sizeof m->text, "%s", berth_error_text());
    return NULL;
}

static void *run_leaving(void *user) {
    struct member *m = user;
    m->status = m->comm->rank == 1 ? BERTH_OK : berth_comm_barrier(m->comm);
    snprintf(m->text, sizeof m->text, "%s", berth_error_text());
    if (m->comm->rank == 1) {
        assert_int_equal(berth_comm_close(m->comm), BERTH_OK);
        m->comm = NULL;
    }
    return NULL;
}

static void together(struct member *members, int size, void *(*run)(void *)) {
    struct berth_comm *comms[MOST];
    assert_int_equal(berth_comm_threads(comms, size), BERTH_OK);
    for (int r = 0; r < size; r++) {
        members[r] = (struct member){.comm = comms[r], .data = calloc(LONG, sizeof(float))};
        assert_int_equal(comms[r]->rank, r);
        assert_int_equal(comms[r]->size, size);
    }
    for (int r = 0; r < size; r++)
        assert_int_equal(pthread_create(&members[r].thread, NULL, run, &members[r]), 0);
    for (int r = 0; r < size; r++)
        pthread_join(members[r].thread, NULL);
    for (int r = 0; r < size; r++)
        assert_int_equal(berth_comm_close(members[r].comm), BERTH_OK);
}

static void release(struct member *members, int size) {
    for (int r = 0; r < size; r++)
        free(members[r].data);
}

static void test_exchange(void **state) {
    (void)state;
    struct member members[MOST];
    for (int size = 2; size <= MOST; size++) {
        together(members, size, run_exchange);
        for (int r = 0; r < size; r++) {
            const struct member *m = &members[r];
            if (m->status != BERTH_OK) fail_msg("rank %d of %d: %s", r, size, m->text);
            for (int64_t i = 0; i < LONG; i++)
                if (m->data[i] != tree(0, size, i))
                    fail_msg("rank %d of %d, element %lld: %.9g, expected %.9g", r, size, (long long)i,
                             (double)m->data[i], (double)tree(0, size, i));
            assert_true(m->numbers[0] == size && m->numbers[1] == size * (size - 1) / 2 &&
                        m->numbers[2] == 0.125);
            assert_string_equal(m->told, "said by rank 0 in round 2");
        }
        release(members, size);
    }
}

static void test_failure_reaches_all(void **state) {
    (void)state;
    struct member members[MOST];
    together(members, 4, run_failure);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(members[r].status, BERTH_E_NUMERIC);
        assert_string_equal(members[r].text, r == 1 ? "the loss is nan" : "rank 1: the loss is nan");
    }
    release(members, 4);
}

static void test_nobody_waits_for_who_left(void **state) {
    (void)state;
    struct member members[MOST];
    together(members, 3, run_leaving);
    assert_int_equal(members[0].status, BERTH_E_IO);
    assert_int_equal(members[2].status, BERTH_E_IO);
    assert_non_null(strstr(members[0].text, "another rank has come to its end while rank 0 waits for it"));
    release(members, 3);
}

static void test_one_rank(void **state) {
    (void)state;
    struct berth_comm *c = NULL;
    double number = 2.5;
    assert_int_equal(berth_comm_fork(&c, 1), BERTH_OK);
    assert_ptr_equal(c, berth_comm_one());
    assert_int_equal(c->rank, 0);
    assert_int_equal(c->size, 1);
    assert_int_equal(berth_comm_sum_host(c, &number, 1), BERTH_OK);
    assert_int_equal(berth_comm_broadcast(c, &number, sizeof number), BERTH_OK);
    assert_int_equal(berth_comm_barrier(c), BERTH_OK);
    assert_true(number == 2.5);
    assert_int_equal(berth_comm_close(c), BERTH_OK);
}

/* ---- processes */

enum end { GOES_WELL, SAYS_SO, IS_KILLED, JUST_ENDS, SAYS_NOTHING, IN_THE_MIDDLE };

/* Rank 1 comes to its end in some way; what rank 0 finds, with its text. */
static berth_status group(enum end end, bool at_close, char text[256]) {
    struct berth_comm *c = NULL;
    double number = 1;
    text[0] = '\0';
    if (berth_comm_fork(&c, 3) != BERTH_OK) return BERTH_E_IO;
    berth_status status = berth_comm_sum_host(c, &number, 1);
    if (status == BERTH_OK && number != 3)
        status = berth_error_set(BERTH_E_NUMERIC, __FILE__, __LINE__, "%g", number);
    if (c->rank == 1 && end == SAYS_SO) {
        status = berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__, "a bad file");
        berth_comm_fail(c, status, berth_error_text());
    }
    if (c->rank == 1 && end == IS_KILLED) raise(SIGKILL);
    if (c->rank == 1 && end == JUST_ENDS) _exit(3);
    if (c->rank == 1 && end == SAYS_NOTHING) _exit(0);
    if (c->rank == 1 && end == IN_THE_MIDDLE) { /* killed while it tells of a failure */
        atomic_store(&((struct shared_rank *)c->own)->shared->failing, 2);
        raise(SIGKILL);
    }
    if (status == BERTH_OK && !at_close) status = berth_comm_barrier(c);
    if (c->rank != 0) {
        (void)berth_comm_close(c);
        _exit(status == BERTH_OK ? 0 : 1);
    }
    snprintf(text, 256, "%s", status != BERTH_OK ? berth_error_text() : "");
    berth_status others = berth_comm_close(c);
    if (status == BERTH_OK && others != BERTH_OK) snprintf(text, 256, "%s", berth_error_text());
    return status != BERTH_OK ? status : others;
}

static void test_processes(void **state) {
    (void)state;
    char text[256];
    for (int at_close = 0; at_close < 2; at_close++) {
        assert_int_equal(group(GOES_WELL, at_close, text), BERTH_OK);
        assert_int_equal(group(SAYS_SO, at_close, text), BERTH_E_FORMAT);
        assert_string_equal(text, "rank 1: a bad file");
        assert_int_equal(group(IS_KILLED, at_close, text), BERTH_E_IO);
        assert_string_equal(text, "rank 1: the process was ended by signal 9 (Killed)");
        assert_int_equal(group(JUST_ENDS, at_close, text), BERTH_E_IO);
        assert_string_equal(text, "rank 1: the process ended with status 3");
        assert_int_equal(group(SAYS_NOTHING, at_close, text), BERTH_E_IO);
        assert_string_equal(text, "rank 1: the process ended with status 0");
        assert_int_equal(group(IN_THE_MIDDLE, at_close, text), BERTH_E_IO);
        assert_string_equal(text, "rank 1: the process was ended by signal 9 (Killed)");
        signal(SIGCHLD, SIG_IGN); /* as a shell may have left it */
        assert_int_equal(group(IS_KILLED, at_close, text), BERTH_E_IO);
        assert_string_equal(text, "rank 1: the process was ended by signal 9 (Killed)");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank),
        cmocka_unit_test(test_processes), /* before any thread is there */
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_failure_reaches_all),
        cmocka_unit_test(test_nobody_waits_for_who_left),
    };
    return cmocka_run_group_tests_name("comm", tests, NULL, NULL);
}
