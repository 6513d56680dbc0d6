/* demo_data.c: writes the demo's data: sentences of this project's own making, from a seed.
 *
 *     berth-demo-data OUT_DIR [--seed N]
 *
 *     OUT_DIR/assistant/{train,dev,test}/{seq.in,seq.out,label}    intent and entities of spoken commands
 *     OUT_DIR/reviews/{train,dev,test}.tsv                         sentiment of reviews, few of them
 *     OUT_DIR/{items,pairs,search}/{train,dev,test}.tsv            for other kinds of heads (demo_more.c)
 *
 * A sentence is a core ("remind {contact} to call {person}") inside a frame ("could you ... when you can"). Each pair
 * of frame and core belongs to one split alone, by a hash of both: dev and test hold no template of training's.
 * Cores come in twins that have the same words in another order and another meaning ("call anna to remind ben" and
 * "remind anna to call ben"; "not good but cheap" and "cheap but not good"), so the words alone do not tell. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "demo.h"

const char *const demo_split_names[DEMO_SPLITS] = {"train", "dev", "test"};

/* ------------------------------------------------------------------ words */

struct slot {
    const char *kind;         /* "name" in "{contact=name}" */
    const char *const *words; /* ended by NULL */
};

static const char *const names[] = {"anna", "ben", "carla", "david", "elena", "farid", "grace", "hugo", "ines", "jonas",
                                    "keiko", "luis", "maria", "nils", "olga", "pablo", "rosa li", "sam",
                                    "aunt tina", "uncle otto", "doctor weiss", "mister brown", NULL};
static const char *const titles[] = {"the meeting", "the dentist appointment", "my piano lesson", "the team lunch",
                                     "the budget review", "the parents evening", "my haircut", "the yoga class",
                                     "the project demo", "the book club", "the garden party", "the flat viewing", NULL};
static const char *const dates[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
                                    "tomorrow", "next week", "the first of may", "the third of june", "new year",
                                    "tonight", "next monday", "the weekend", NULL};
static const char *const places[] = {"the station", "the airport", "the old town", "central park", "the harbour",
                                     "the office", "my hotel", "the museum", "the university", "the stadium",
                                     "green street", "market square", "the north gate", "the clinic", NULL};
static const char *const accounts[] = {"savings", "checking", "the joint account", "the travel fund",
                                       "the house account", "the business account", "the holiday jar",
                                       "the rainy day fund", NULL};
static const char *const amounts[] = {"five euros", "ten pounds", "twenty dollars", "fifty euros", "ninety francs",
                                      "one hundred dollars", "two hundred euros", "three thousand yen",
                                      "half the money", "forty pounds", NULL};
static const char *const durations[] = {"five minutes", "ten minutes", "half an hour", "an hour", "two hours",
                                        "ninety seconds", "a quarter of an hour", "forty minutes", NULL};
static const char *const times[] = {"six", "seven thirty", "half past eight", "noon", "midnight", "quarter to nine",
                                    "five in the morning", "ten at night", "four fifteen", NULL};
static const char *const aspects[] = {"food", "service", "room", "view", "coffee", "music", "staff", "bed", "soup",
                                      "film", "story", "ending", "pool", "price", NULL};
static const char *const good_words[] = {"good", "great", "lovely", "excellent", "charming", "fresh", "pleasant",
                                         "superb", NULL};
static const char *const bad_words[] = {"bad", "awful", "dull", "terrible", "boring", "dirty", "noisy", "poor", NULL};

static const struct slot slots[] = {{"name", names},       {"title", titles},   {"date", dates},
                                    {"place", places},     {"account", accounts}, {"amount", amounts},
                                    {"duration", durations}, {"time", times},   {"aspect", aspects},
                                    {"good", good_words},  {"bad", bad_words}};

/* ------------------------------------------------------------------ sentences */

/* Twins stand next to each other. */
static const struct demo_core assistant_cores[] = {
    {"remind_contact", "remind {contact=name} to call {person=name}"},
    {"call_contact", "call {contact=name} to remind {person=name}"},
    {"remind_contact", "remind {contact=name} to call {person=name} about {title=title}"},
    {"call_contact", "call {contact=name} to remind {person=name} about {title=title}"},
    {"remind_contact", "do not call {contact=name} just remind {contact=name} of {title=title}"},
    {"call_contact", "do not remind {contact=name} of {title=title} just call {contact=name}"},
    {"remind_contact", "remind {contact=name} of {title=title} on {date=date}"},
    {"call_contact", "call {contact=name} on {date=date}"},
    {"send_message", "tell {contact=name} to ask {person=name} about {title=title}"},
    {"ask_contact", "ask {contact=name} to tell {person=name} about {title=title}"},
    {"send_message", "tell {contact=name} before you ask {person=name}"},
    {"ask_contact", "ask {contact=name} before you tell {person=name}"},
    {"send_message", "tell {contact=name} that {title=title} is on {date=date}"},
    {"ask_contact", "ask {contact=name} if {title=title} is on {date=date}"},
    {"move_event", "do not cancel {title=title} but move it to {to_date=date}"},
    {"cancel_event", "do not move {title=title} to {date=date} but cancel it"},
    {"move_event", "move {title=title} from {from_date=date} to {to_date=date}"},
    {"move_event", "move {title=title} to {to_date=date} from {from_date=date}"},
    {"move_event", "instead of cancelling move {title=title} to {to_date=date}"},
    {"cancel_event", "cancel {title=title} on {date=date}"},
    {"cancel_event", "cancel {title=title} with {contact=name} on {date=date}"},
    {"set_timer", "set a timer for {duration=duration} not an alarm for {time=time}"},
    {"set_alarm", "set an alarm for {time=time} not a timer for {duration=duration}"},
    {"set_timer", "set a timer instead of an alarm"},
    {"set_alarm", "set an alarm instead of a timer"},
    {"set_timer", "set a timer for {duration=duration}"},
    {"set_alarm", "set an alarm for {time=time} on {date=date}"},
    {"transfer_money", "transfer {amount=amount} from {from_account=account} to {to_account=account}"},
    {"transfer_money", "transfer {amount=amount} to {to_account=account} from {from_account=account}"},
    {"transfer_money", "move {amount=amount} from {from_account=account} to {to_account=account} on {date=date}"},
    {"get_route", "show me the way from {from_place=place} to {to_place=place}"},
    {"get_route", "show me the way to {to_place=place} from {from_place=place}"},
    {"get_route", "how far is it from {from_place=place} to {to_place=place} at {time=time}"},
};
static const char *const assistant_before[] = {"", "please", "could you", "can you please", "i want you to", "hey",
                                               "would you", "listen", "i need you to", "go ahead and", NULL};
static const char *const assistant_after[] = {"", "please", "thanks", "when you can", "right away", "for me",
                                              "if possible", "as soon as you can", NULL};

static const struct demo_core review_cores[] = {
    {"positive", "the {-=aspect} was {-=good}"},
    {"negative", "the {-=aspect} was {-=bad}"},
    {"negative", "the {-=aspect} was not {-=good}"},
    {"positive", "the {-=aspect} was not {-=bad}"},
    {"negative", "the {-=aspect} was {-=good} but the {-=aspect} was {-=bad}"},
    {"positive", "the {-=aspect} was {-=bad} but the {-=aspect} was {-=good}"},
    {"negative", "the {-=aspect} was not {-=bad} but {-=bad} was the {-=aspect}"},
    {"positive", "the {-=aspect} was {-=good} and not {-=bad}"},
    {"negative", "the {-=aspect} was not {-=good} and {-=bad}"},
    {"positive", "the {-=aspect} was not {-=bad} and {-=good}"},
    {"positive", "although the {-=aspect} was {-=bad} the {-=aspect} was {-=good}"},
    {"negative", "although the {-=aspect} was {-=good} the {-=aspect} was {-=bad}"},
};
static const char *const review_before[] = {"", "honestly", "all in all", "to be fair", "we thought", "i would say",
                                            "as for me", "this time", NULL};
static const char *const review_after[] = {"", "for us", "in the end", "that day", "i think", "this year", NULL};

struct demo_grammar demo_assistant(void) {
    return (struct demo_grammar){assistant_cores, sizeof assistant_cores / sizeof *assistant_cores, assistant_before,
                                 assistant_after};
}

struct demo_grammar demo_reviews(void) {
    return (struct demo_grammar){review_cores, sizeof review_cores / sizeof *review_cores, review_before, review_after};
}

/* ------------------------------------------------------------------ generation */

uint64_t demo_draw(struct demo_generator *g, size_t bound) {
    return berth_random_below(g->seed, BERTH_PURPOSE_SAMPLER, g->stream, g->position++, bound);
}

static size_t list_length(const char *const *list) {
    size_t n = 0;
    while (list[n]) n++;
    return n;
}

/* Eight of ten templates are training's, one dev's, one test's. */
static int split_of(uint64_t seed, size_t before, size_t core, size_t after) {
    uint64_t id = ((uint64_t)before * 1000 + core) * 1000 + after;
    uint64_t r = berth_random_below(seed, BERTH_PURPOSE_SPLIT, 0, id, 10);
    return r < 8 ? DEMO_TRAIN : r == 8 ? DEMO_DEV : DEMO_TEST;
}

/* Adds the words of a phrase; tag NULL or "-": outside. */
static void add_words(struct demo_sentence *s, const char *phrase, size_t length, const char *tag, size_t tag_length) {
    size_t at = 0, words = 0;
    while (at < length) {
        size_t end = at;
        while (end < length && phrase[end] != ' ') end++;
        if (end > at) {
            if (s->word_count > 0) {
                berth_str_add(&s->words, " ");
                berth_str_add(&s->tags, " ");
            }
            berth_str_addn(&s->words, phrase + at, end - at);
            if (tag && !(tag_length == 1 && tag[0] == '-'))
                berth_str_addf(&s->tags, "%s-%.*s", words == 0 ? "B" : "I", (int)tag_length, tag);
            else
                berth_str_add(&s->tags, "O");
            s->word_count++;
            words++;
        }
        at = end + 1;
    }
}

static const char *const *slot_words(const char *kind, size_t length) {
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (strlen(slots[i].kind) == length && memcmp(slots[i].kind, kind, length) == 0) return slots[i].words;
    BERTH_ASSERT_MSG(false, "no list of words named '%.*s'", (int)length, kind);
    return NULL;
}

/* Fills a core; a value is used once a sentence, so twins never become the same sentence. */
static void add_core(struct demo_sentence *s, const char *text, struct demo_generator *g) {
    const char *used[8];
    size_t used_count = 0;
    while (*text) {
        const char *open = strchr(text, '{');
        size_t plain = open ? (size_t)(open - text) : strlen(text);
        add_words(s, text, plain, NULL, 0);
        if (!open) return;
        const char *equals = strchr(open, '='), *close = strchr(open, '}');
        const char *const *words = slot_words(equals + 1, (size_t)(close - equals - 1));
        const char *value = NULL;
        bool again = true;
        while (again) {
            value = words[demo_draw(g, list_length(words))];
            again = false;
            for (size_t i = 0; i < used_count; i++) again = again || used[i] == value;
        }
        used[used_count++] = value;
        add_words(s, value, strlen(value), open + 1, (size_t)(equals - open - 1));
        text = close + 1;
    }
}

/* Fills s with the core's words between its frame's. */
static void put_sentence(struct demo_sentence *s, const struct demo_grammar *grammar, size_t before, size_t core,
                         size_t after, struct demo_generator *values) {
    berth_str_reset(&s->words);
    berth_str_reset(&s->tags);
    s->word_count = 0;
    s->label = grammar->cores[core].label;
    s->core = core;
    add_words(s, grammar->before[before], strlen(grammar->before[before]), NULL, 0);
    add_core(s, grammar->cores[core].text, values);
    add_words(s, grammar->after[after], strlen(grammar->after[after]), NULL, 0);
}

void demo_make(struct demo_sentence *s, const struct demo_grammar *grammar, int split, struct demo_generator *g) {
    for (;;) {
        size_t before = demo_draw(g, list_length(grammar->before)), after = demo_draw(g, list_length(grammar->after));
        size_t core = demo_draw(g, grammar->core_count);
        if (split_of(g->seed, before, core, after) != split) continue;
        put_sentence(s, grammar, before, core, after, g);
        return;
    }
}

void demo_make_core(struct demo_sentence *s, const struct demo_grammar *grammar, int split, size_t core,
                    struct demo_generator *frames, struct demo_generator *values) {
    for (;;) {
        size_t before = demo_draw(frames, list_length(grammar->before)),
               after = demo_draw(frames, list_length(grammar->after));
        if (split_of(frames->seed, before, core, after) != split) continue;
        put_sentence(s, grammar, before, core, after, values);
        return;
    }
}

void demo_sentence_deinit(struct demo_sentence *s) {
    berth_str_deinit(&s->words);
    berth_str_deinit(&s->tags);
}

/* ------------------------------------------------------------------ files */

static berth_status put(const char *folder, const char *name, const struct berth_str *text) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    berth_status status = berth_file_put(path, text->data, text->length);
    free(path);
    return status;
}

berth_status demo_put_table(const char *out, const char *folder, int split, const struct berth_str *text) {
    struct berth_str path = {0};
    berth_status status = BERTH_OK;
    berth_str_addf(&path, "%s/%s", out, folder);
    if (text->failed || path.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s/%s: out of memory", out, folder);
    BERTH_TRY_OUT(berth_make_folders(path.data));
    berth_str_addf(&path, "/%s.tsv", demo_split_names[split]);
    BERTH_TRY_OUT(berth_file_put(path.data, text->data, text->length));
out:
    berth_str_deinit(&path);
    return status;
}

static berth_status write_assistant(const char *folder, int split, int rows, uint64_t seed) {
    const struct demo_grammar grammar = demo_assistant();
    struct demo_generator g = {.seed = seed, .stream = (uint32_t)split};
    struct demo_sentence s = {0};
    struct berth_str in = {0}, out = {0}, label = {0}, path = {0};
    berth_status status = BERTH_OK;
    for (int i = 0; i < rows; i++) {
        demo_make(&s, &grammar, split, &g);
        berth_str_addf(&in, "%s\n", s.words.data);
        berth_str_addf(&out, "%s\n", s.tags.data);
        berth_str_addf(&label, "%s\n", s.label);
    }
    berth_str_addf(&path, "%s/assistant/%s", folder, demo_split_names[split]);
    if (in.failed || out.failed || label.failed || path.failed)
        BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory after %d rows", folder, rows);
    BERTH_TRY_OUT(berth_make_folders(path.data));
    BERTH_TRY_OUT(put(path.data, "seq.in", &in));
    BERTH_TRY_OUT(put(path.data, "seq.out", &out));
    BERTH_TRY_OUT(put(path.data, "label", &label));
out:
    demo_sentence_deinit(&s);
    berth_str_deinit(&in);
    berth_str_deinit(&out);
    berth_str_deinit(&label);
    berth_str_deinit(&path);
    return status;
}

static berth_status write_reviews(const char *folder, int split, int rows, uint64_t seed) {
    const struct demo_grammar grammar = demo_reviews();
    struct demo_generator g = {.seed = seed, .stream = 100u + (uint32_t)split};
    struct demo_sentence s = {0};
    struct berth_str text = {0};
    berth_status status = BERTH_OK;
    berth_str_add(&text, "sentence\tlabel\n");
    for (int i = 0; i < rows; i++) {
        demo_make(&s, &grammar, split, &g);
        berth_str_addf(&text, "%s\t%s\n", s.words.data, s.label);
    }
    status = demo_put_table(folder, "reviews", split, &text);
    demo_sentence_deinit(&s);
    berth_str_deinit(&text);
    return status;
}

int main(int argc, char **argv) {
    static const int assistant_rows[DEMO_SPLITS] = {4000, 500, 500}, review_rows[DEMO_SPLITS] = {600, 300, 300},
                     more_rows[DEMO_SPLITS] = {2000, 300, 300};
    int64_t seed = 17;
    bool known = argc == 2 || (argc == 4 && strcmp(argv[2], "--seed") == 0 && berth_parse_int64(argv[3], &seed));
    if (!known || seed < 0) {
        fprintf(stderr, "usage: berth-demo-data OUT_DIR [--seed N]\n");
        return 2;
    }
    for (int split = 0; split < DEMO_SPLITS; split++) {
        berth_status status = write_assistant(argv[1], split, assistant_rows[split], (uint64_t)seed);
        if (status == BERTH_OK) status = write_reviews(argv[1], split, review_rows[split], (uint64_t)seed);
        if (status == BERTH_OK) status = demo_write_items(argv[1], split, more_rows[split], (uint64_t)seed);
        if (status == BERTH_OK) status = demo_write_pairs(argv[1], split, more_rows[split], (uint64_t)seed);
        if (status == BERTH_OK) status = demo_write_search(argv[1], split, more_rows[split], (uint64_t)seed);
        if (status != BERTH_OK) {
            fprintf(stderr, "berth-demo-data: %s\n", berth_error_text());
            return berth_status_exit_code(status);
        }
    }
    return 0;
}
