/* demo_more.c: the demo's sentences for other kinds of heads:
 *
 *     items/    sentence, topics (what a review speaks of, one or several), stars (1, 2, 4 or 5)
 *     pairs/    a, b, score: two commands and how alike they are
 *     search/   question, answer, wrong: the same command in another frame; its twin, which has the same words
 *
 * Scores: 1 the same command of the same things in another frame; 0.6 the same command of other things; 0.3 its twin,
 * another command of the same words; 0 another one. */
#include <string.h>

#include "demo.h"

static const struct {
    const char *aspect, *topic;
} topics[] = {{"food", "food"},   {"coffee", "food"}, {"soup", "food"},     {"room", "house"},  {"bed", "house"},
              {"view", "house"},  {"pool", "house"},  {"service", "staff"}, {"staff", "staff"}, {"film", "show"},
              {"story", "show"},  {"ending", "show"}, {"music", "show"},    {"price", "price"}};

/* Adds the topics of a sentence's words, in the order of the table, each once. */
static void add_topics(struct berth_str *out, const char *words) {
    const char *last = "";
    bool any = false;
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        const size_t length = strlen(topics[i].aspect);
        bool found = false;
        for (const char *at = words; (at = strstr(at, topics[i].aspect)) != NULL; at += length)
            found = found || ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'));
        if (!found || strcmp(topics[i].topic, last) == 0) continue;
        berth_str_addf(out, "%s%s", any ? "," : "", topics[i].topic);
        last = topics[i].topic;
        any = true;
    }
}

/* One thing praised or blamed: 5 or 1; two against each other: 4 or 2, by the one that stands last. */
static int stars_of(const struct demo_grammar *grammar, const struct demo_sentence *s) {
    const char *text = grammar->cores[s->core].text, *first = strstr(text, "{-=aspect}");
    const bool two = first != NULL && strstr(first + 1, "{-=aspect}") != NULL;
    const bool good = strcmp(s->label, "positive") == 0;
    return good ? (two ? 4 : 5) : (two ? 2 : 1);
}

berth_status demo_write_items(const char *out, int split, int rows, uint64_t seed) {
    const struct demo_grammar grammar = demo_reviews();
    struct demo_generator g = {.seed = seed, .stream = 200u + (uint32_t)split};
    struct demo_sentence s = {0};
    struct berth_str text = {0};
    berth_str_add(&text, "sentence\ttopics\tstars\n");
    for (int i = 0; i < rows; i++) {
        demo_make(&s, &grammar, split, &g);
        berth_str_addf(&text, "%s\t", s.words.data);
        add_topics(&text, s.words.data);
        berth_str_addf(&text, "\t%d\n", stars_of(&grammar, &s));
    }
    berth_status status = demo_put_table(out, "items", split, &text);
    demo_sentence_deinit(&s);
    berth_str_deinit(&text);
    return status;
}

/* The command beside `core` that has its words and another label; core itself where there is none. */
static size_t twin_of(const struct demo_grammar *grammar, size_t core) {
    const size_t other = core ^ 1;
    if (other >= grammar->core_count || strcmp(grammar->cores[other].label, grammar->cores[core].label) == 0) return core;
    return other;
}

/* A command of another label. */
static size_t stranger_of(const struct demo_grammar *grammar, size_t core, struct demo_generator *g) {
    size_t other = core;
    while (strcmp(grammar->cores[other].label, grammar->cores[core].label) == 0)
        other = demo_draw(g, grammar->core_count);
    return other;
}

berth_status demo_write_pairs(const char *out, int split, int rows, uint64_t seed) {
    const struct demo_grammar grammar = demo_assistant();
    struct demo_generator g = {.seed = seed, .stream = 300u + (uint32_t)split};
    struct demo_sentence a = {0}, b = {0};
    struct berth_str text = {0};
    berth_str_add(&text, "a\tb\tscore\n");
    for (int i = 0; i < rows; i++) {
        static const char *const scores[] = {"1", "0.6", "0.3", "0"};
        struct demo_generator values = {.seed = seed, .stream = 310u + (uint32_t)split, .position = (uint64_t)i << 20};
        struct demo_generator again = values;
        const size_t core = demo_draw(&g, grammar.core_count);
        size_t kind = demo_draw(&g, 4), other = core;
        if (kind == 1) again.position += 1 << 19;
        if (kind == 2) other = twin_of(&grammar, core);
        if (kind == 2 && other == core) kind = 3;
        if (kind == 3) other = stranger_of(&grammar, core, &g);
        demo_make_core(&a, &grammar, split, core, &g, &values);
        do {
            struct demo_generator same = again;
            demo_make_core(&b, &grammar, split, other, &g, &same);
        } while (strcmp(a.words.data, b.words.data) == 0);
        berth_str_addf(&text, "%s\t%s\t%s\n", a.words.data, b.words.data, scores[kind]);
    }
    berth_status status = demo_put_table(out, "pairs", split, &text);
    demo_sentence_deinit(&a);
    demo_sentence_deinit(&b);
    berth_str_deinit(&text);
    return status;
}

berth_status demo_write_search(const char *out, int split, int rows, uint64_t seed) {
    const struct demo_grammar grammar = demo_assistant();
    struct demo_generator g = {.seed = seed, .stream = 400u + (uint32_t)split};
    struct demo_sentence s = {0};
    struct berth_str text = {0};
    berth_str_add(&text, "question\tanswer\twrong\n");
    for (int i = 0; i < rows; i++) {
        const struct demo_generator values = {
            .seed = seed, .stream = 410u + (uint32_t)split, .position = (uint64_t)i << 20};
        const size_t core = demo_draw(&g, grammar.core_count);
        size_t side[3] = {core, core, twin_of(&grammar, core)};
        if (side[2] == core) side[2] = stranger_of(&grammar, core, &g);
        for (int k = 0; k < 3; k++) {
            struct demo_generator same = values;
            demo_make_core(&s, &grammar, split, side[k], &g, &same);
            berth_str_addf(&text, "%s%s", s.words.data, k < 2 ? "\t" : "\n");
        }
    }
    berth_status status = demo_put_table(out, "search", split, &text);
    demo_sentence_deinit(&s);
    berth_str_deinit(&text);
    return status;
}
