/* test_label_map.c: names and classes find each other, through growth, sorting and copying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "berth/batch.h"

#define assert_done(expr) assert_int_equal(expr, BERTH_OK)

static void names_are_found_through_growth(void **state) {
    (void)state;
    struct berth_labels l;
    char name[32];
    int32_t class = -1;
    berth_labels_init(&l);
    assert_int_equal(berth_labels_find(&l, "x"), -1);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "label %d", i);
        assert_done(berth_labels_add(&l, name, &class));
        assert_int_equal(class, i);
        assert_done(berth_labels_add(&l, name, NULL)); /* not new */
    }
    assert_int_equal(l.count, 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "label %d", i);
        assert_int_equal(berth_labels_find(&l, name), i);
    }
    assert_int_equal(berth_labels_find(&l, "label 5000"), -1);
    assert_int_equal(berth_labels_find(&l, ""), -1);
    berth_labels_deinit(&l);
}

static void sorting_does_not_depend_on_the_order_of_rows(void **state) {
    (void)state;
    const char *const orders[2][6] = {{"I-b", "B-b", "O", "B-a", "A", "Zebra"},
                                      {"Zebra", "A", "B-a", "B-b", "I-b", "O"}};
    const char *const sorted[] = {"O", "A", "B-a", "B-b", "I-b", "Zebra"};
    struct berth_labels l[2];
    for (int k = 0; k < 2; k++) {
        berth_labels_init(&l[k]);
        assert_done(berth_labels_sort(&l[k])); /* empty */
        for (int i = 0; i < 6; i++)
            assert_done(berth_labels_add(&l[k], orders[k][i], NULL));
        assert_done(berth_labels_sort(&l[k]));
        for (int i = 0; i < 6; i++) {
            assert_string_equal(l[k].names[i], sorted[i]);
            assert_int_equal(berth_labels_find(&l[k], sorted[i]), i);
        }
    }
    assert_true(berth_labels_equal(&l[0], &l[1]));
    assert_done(berth_labels_add(&l[1], "new", NULL));
    assert_false(berth_labels_equal(&l[0], &l[1]));
    assert_done(berth_labels_copy(&l[0], &l[1])); /* replaces */
    assert_true(berth_labels_equal(&l[0], &l[1]));
    assert_int_equal(berth_labels_find(&l[0], "new"), 6);
    berth_labels_deinit(&l[1]);
    assert_string_equal(l[0].names[6], "new"); /* a copy of its own */
    berth_labels_deinit(&l[0]);
    berth_labels_deinit(&l[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_through_growth),
        cmocka_unit_test(sorting_does_not_depend_on_the_order_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
