/* Status names and exit codes, the error record of a thread, failed assertions, the log. */
#include "base/support_base.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static berth_status raise_here(int value) {
    BERTH_FAIL(BERTH_E_FORMAT, "value %d", value);
}

static berth_status pass_on(int value) {
    BERTH_TRY_CTX(raise_here(value), "reading %s", "x");
    return BERTH_OK;
}

static void names_and_codes(void **state) {
    (void)state;
    assert_string_equal(berth_status_name(BERTH_E_USAGE), "BERTH_E_USAGE");
    assert_string_equal(berth_status_text(BERTH_OK), "done");
    assert_int_equal(berth_status_exit_code(BERTH_OK), 0);
    assert_int_equal(berth_status_exit_code(BERTH_E_IO), 1);
    assert_int_equal(berth_status_exit_code(BERTH_E_USAGE), 2);
    assert_int_equal(berth_status_exit_code(BERTH_E_EXISTS), 2);
    assert_int_equal(berth_status_exit_code(BERTH_E_STOPPED), 75);
}

static void text_context_and_place(void **state) {
    (void)state;
    berth_error_clear();
    assert_string_equal(berth_error_text(), "");
    assert_string_equal(berth_error_place(), "");
    assert_error(raise_here(7), BERTH_E_FORMAT, "value 7");
    assert_non_null(strstr(berth_error_place(), "test_status.c:"));
    assert_error(pass_on(8), BERTH_E_FORMAT, "reading x: value 8");
    /* the old text as an argument of the new one */
    berth_error_set(BERTH_E_IO, "f.c", 3, "again: %s", berth_error_text());
    assert_string_equal(berth_error_text(), "again: reading x: value 8");
    assert_string_equal(berth_error_place(), "f.c:3");
}

static void long_text_is_cut(void **state) {
    (void)state;
    char *text = malloc(100001);
    memset(text, 'a', 100000);
    text[100000] = '\0';
    assert_int_equal(berth_error_set(BERTH_E_IO, "f.c", 1, "%s", text), BERTH_E_IO);
    size_t length = strlen(berth_error_text());
    assert_in_range(length, 1000, 99999);
    assert_string_equal(berth_error_text() + length - 3, "...");
    assert_int_equal(berth_error_context(BERTH_E_IO, "begin"), BERTH_E_IO);
    assert_int_equal(strncmp(berth_error_text(), "begin: aaa", 10), 0);
    assert_int_equal(berth_error_context(BERTH_E_IO, "%s", text), BERTH_E_IO);
    assert_string_equal(berth_error_text() + strlen(berth_error_text()) - 3, "...");
    free(text);
}

static void *other_thread(void *out) {
    raise_here(2);
    *(bool *)out = strcmp(berth_error_text(), "value 2") == 0;
    return NULL;
}

static void each_thread_has_its_own(void **state) {
    (void)state;
    pthread_t thread;
    bool good = false;
    raise_here(1);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &good), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(good);
    assert_string_equal(berth_error_text(), "value 1");
}

/* Runs BERTH_ASSERT_EQ(3, 4) in a child and reads what it prints. */
static void assertion_prints_both_values_and_aborts(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        signal(SIGABRT, SIG_DFL);
        int rows = 3;
        BERTH_ASSERT_EQ(rows, 4);
        _exit(0);
    }
    close(ends[1]);
    char text[512] = "";
    ssize_t n = read(ends[0], text, sizeof text - 1);
    assert_true(n > 0);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "rows == 4: 3 and 4"));
}

static char logged[8192];
static void take_line(void *user, enum berth_log_level level, const char *line) {
    snprintf(logged, sizeof logged, "%d %d %s", *(int *)user, (int)level, line);
}

static void log_goes_to_the_sink(void **state) {
    (void)state;
    int number = 5;
    berth_log_set(take_line, &number, BERTH_LOG_INFO);
    berth_log(BERTH_LOG_WARN, "a %s", "b");
    assert_string_equal(logged, "5 1 a b");
    berth_log(BERTH_LOG_DEBUG, "not shown");
    assert_string_equal(logged, "5 1 a b");
    char text[2001];
    memset(text, 'x', 2000);
    text[2000] = '\0';
    berth_log(BERTH_LOG_INFO, "%s", text);
    assert_int_equal(strlen(logged), 2004);
    berth_log_set(NULL, NULL, BERTH_LOG_DEBUG);
    berth_log(BERTH_LOG_ERROR, "dropped");
    assert_int_equal(strlen(logged), 2004);
}

/* Fuzzing found messages of several lines where a damaged file's bytes were quoted. */
static void quoted_bytes_stay_on_one_line(void **state) {
    (void)state;
    assert_int_equal(berth_error_set(BERTH_E_FORMAT, "f", 1, "holds 'a\nb\x1b[2J\x7f', expected '\303\251'"),
                     BERTH_E_FORMAT);
    assert_string_equal(berth_error_text(), "holds 'a?b?[2J?', expected '\303\251'");
    assert_int_equal(berth_error_set_lines(BERTH_E_USAGE, "f", 2, "one\ntwo"), BERTH_E_USAGE);
    berth_error_context(BERTH_E_USAGE, "x\ty");
    assert_string_equal(berth_error_text(), "x?y: one\ntwo");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_codes),         cmocka_unit_test(text_context_and_place),
        cmocka_unit_test(long_text_is_cut),        cmocka_unit_test(quoted_bytes_stay_on_one_line),
        cmocka_unit_test(each_thread_has_its_own), cmocka_unit_test(assertion_prints_both_values_and_aborts),
        cmocka_unit_test(log_goes_to_the_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
