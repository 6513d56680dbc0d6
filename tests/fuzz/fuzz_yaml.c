/* fuzz_yaml.c: any text as YAML: refused in one line with a place within the text, or a tree whose texts are
 * UTF-8 without zero bytes and whose places ascend. */
#include "base/base_priv.h"
#include "fuzz/support_fuzz.h"

static void check_node(const struct ytree_node *n, size_t size, int depth) {
    FUZZ_CHECK(depth <= YTREE_DEPTH + 1 && n->count <= YTREE_ENTRIES && n->text != NULL);
    FUZZ_CHECK(n->line >= 1 && n->column >= 1 && (size_t)n->line <= size + 1 && (size_t)n->column <= size + 1);
    FUZZ_CHECK(n->key_line <= n->line && (n->key_line < n->line || n->key_column <= n->column));
    size_t count = 0;
    int line = 0, column = 0;
    for (const struct ytree_node *child = n->first; child != NULL; child = child->next, count++) {
        FUZZ_CHECK((child->key != NULL) == (n->kind == YTREE_MAP));
        FUZZ_CHECK(child->key_line > line || (child->key_line == line && child->key_column >= column));
        line = child->key_line;
        column = child->key_column;
        if (child->key != NULL) FUZZ_CHECK(ytree_child(n, child->key) == child);
        check_node(child, size, depth + 1);
    }
    FUZZ_CHECK(count == n->count && (n->kind != YTREE_SCALAR || count == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_arena arena;
    struct ytree_source source = {.name = "x.yaml"};
    struct ytree_node *root = NULL;
    berth_arena_init(&arena);
    if (fuzz_answer(ytree_parse(&root, &arena, &source, (const char *)data, size)) != BERTH_OK)
        FUZZ_CHECK(strncmp(berth_error_text(), "x.yaml:", 7) == 0);
    else if (root != NULL)
        check_node(root, size, 0);
    berth_arena_deinit(&arena);
    return 0;
}
