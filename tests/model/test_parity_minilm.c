/* test_parity_minilm.c: all-MiniLM-L6-v2's own weights against the reference's numbers of four sentences:
 * hidden states of all layers, embeddings, logits, gradients of every parameter. The folder is BERTH_MINILM, or
 * weights/all-MiniLM-L6-v2 of BERTH_TEST_DATA (scripts/fetch_model.sh all-MiniLM-L6-v2 FOLDER); without one the
 * test is reported as skipped. */
#include <stdio.h>

#include "berth/file.h"
#include "model/support_golden.h"

static char *folder;

static void minilm_is_the_reference(void **state) {
    (void)state;
    static const struct half_bounds HALF = {
        .hidden = 3e-2, .logits = 3e-2, .loss = 3e-3, .all = 4e-2, .one = 1e-1};
    struct golden g;
    golden_open(&g, "minilm", folder);
    parity_check(&g, "all-MiniLM-L6-v2");
    parity_check_half(&g, "all-MiniLM-L6-v2", &HALF);
    golden_close(&g);
}

static char *find_folder(void) {
    const char *given = getenv("BERTH_MINILM"), *data = getenv("BERTH_TEST_DATA");
    if (given != NULL && given[0] != '\0') return strdup(given);
    if (data == NULL || data[0] == '\0') return NULL;
    char *path = model_path(data, "weights/all-MiniLM-L6-v2");
    if (berth_is_folder(path)) return path;
    free(path);
    return NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(minilm_is_the_reference)};
    folder = find_folder();
    if (folder == NULL) {
        printf("skipped: no folder of all-MiniLM-L6-v2 in BERTH_MINILM or BERTH_TEST_DATA/weights\n");
        return 77;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(folder);
    return failed;
}
