/* torch_pickle.c: the pickle of a PyTorch checkpoint, read without executing anything.
 *
 * A pickle is a program for a stack machine. Of its opcodes those that a dictionary of tensors is written with
 * are understood; of the functions that it may call, five names (GLOBALS) are known, and what they would make
 * is noted down here: nothing is ever called. Anything else is an error that names it.
 *
 *     {"bert.embeddings...": _rebuild_tensor_v2(('storage', FloatStorage, '12', 'cpu', 1536), 0, (64, 24), (24,
 * 1)), ...}
 *
 * One pass, no recursion. Each opcode makes at most one value, so memory is a small multiple of the pickle's
 * bytes, of which there may be PICKLE_MOST (checkpoints of hundreds of tensors take some ten thousand). */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

#define PICKLE_MOST ((size_t)8 << 20)
#define VALUES_MOST ((size_t)1 << 20) /* on the stack, in the memo, in tuples, in dictionaries */
#define TENSORS_MOST ((size_t)1 << 17)
#define NAME_MOST ((size_t)512) /* bytes */

enum value_kind {
    VALUE_OTHER, /* something that weights carry and that is of no use here */
    VALUE_MARK,
    VALUE_INT,
    VALUE_TEXT,
    VALUE_GLOBAL,
    VALUE_TUPLE,
    VALUE_DICT,
    VALUE_STORAGE,
    VALUE_TENSOR
};

/* What a name of the pickle stands for. */
enum global_kind { GLOBAL_DICT, GLOBAL_TENSOR, GLOBAL_PARAMETER, GLOBAL_STORAGE };
static const struct {
    const char *module, *name;
    enum global_kind kind;
    const char *dtype; /* of a storage */
    int bytes;
} GLOBALS[] = {
    {"collections", "OrderedDict", GLOBAL_DICT, NULL, 0},
    {"torch._utils", "_rebuild_tensor_v2", GLOBAL_TENSOR, NULL, 0},
    {"torch._utils", "_rebuild_parameter", GLOBAL_PARAMETER, NULL, 0},
    {"torch", "FloatStorage", GLOBAL_STORAGE, "F32", 4},
    {"torch", "HalfStorage", GLOBAL_STORAGE, "F16", 2},
    {"torch", "BFloat16Storage", GLOBAL_STORAGE, "BF16", 2},
    {"torch", "DoubleStorage", GLOBAL_STORAGE, "F64", 8},
    {"torch", "LongStorage", GLOBAL_STORAGE, "I64", 8},
    {"torch", "IntStorage", GLOBAL_STORAGE, "I32", 4},
    {"torch", "ShortStorage", GLOBAL_STORAGE, "I16", 2},
    {"torch", "CharStorage", GLOBAL_STORAGE, "I8", 1},
    {"torch", "ByteStorage", GLOBAL_STORAGE, "U8", 1},
    {"torch", "BoolStorage", GLOBAL_STORAGE, "BOOL", 1},
};

struct text {
    const char *at; /* in the pickle */
    size_t length;
};

struct value {
    enum value_kind kind;
    int global; /* row of GLOBALS: of a global, a storage */
    union {
        int64_t number; /* int; dict: which one; storage, tensor: place in its list */
        struct text text;
        struct {
            size_t first, count; /* tuple: in items */
        } items;
    } as;
};

struct storage {
    struct text key;
    int64_t elements;
};

struct pair {
    int64_t dict;
    struct value key, value;
};

struct machine {
    const char *file; /* for messages */
    const unsigned char *code;
    size_t size, at;
    struct value *stack, *memo, *items;
    size_t depth, stack_capacity, memo_count, memo_capacity, item_count, item_capacity;
    struct pair *pairs;
    size_t pair_count, pair_capacity;
    struct storage *storages;
    size_t storage_count, storage_capacity;
    struct torch_tensor *tensors; /* without names yet */
    size_t tensor_count, tensor_capacity;
    int64_t dicts;
};

/* The place goes before the text. */
#define FAIL_AT(m, ...)                                                                                        \
    do {                                                                                                       \
        const berth_status fail_at_ = berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__, __VA_ARGS__);        \
        return berth_error_context(fail_at_, "%s: data.pkl byte %zu", (m)->file, (m)->at);                     \
    } while (0)

/* ---- the stack */

static berth_status push(struct machine *m, struct value v) {
    if (m->depth >= VALUES_MOST) FAIL_AT(m, "more than %zu values", VALUES_MOST);
    BERTH_TRY(berth_grow(&m->stack, &m->stack_capacity, m->depth + 1, sizeof *m->stack));
    m->stack[m->depth++] = v;
    return BERTH_OK;
}

static berth_status push_kind(struct machine *m, enum value_kind kind) {
    return push(m, (struct value){.kind = kind});
}

static berth_status push_int(struct machine *m, int64_t number) {
    return push(m, (struct value){.kind = VALUE_INT, .as.number = number});
}

static berth_status pop(struct machine *m, struct value *out) {
    if (m->depth == 0 || m->stack[m->depth - 1].kind == VALUE_MARK) FAIL_AT(m, "a value is missing");
    *out = m->stack[--m->depth];
    return BERTH_OK;
}

/* Where the values above the topmost mark begin; the mark stays. */
static berth_status find_mark(struct machine *m, size_t *first) {
    size_t i = m->depth;
    while (i > 0 && m->stack[i - 1].kind != VALUE_MARK)
        i--;
    if (i == 0) FAIL_AT(m, "a mark is missing");
    *first = i;
    return BERTH_OK;
}

/* The topmost `count` values become a tuple. */
static berth_status make_tuple(struct machine *m, size_t count) {
    struct value tuple = {.kind = VALUE_TUPLE, .as.items = {m->item_count, count}};
    if (m->depth < count) FAIL_AT(m, "a value is missing");
    for (size_t i = m->depth - count; i < m->depth; i++) {
        if (m->stack[i].kind == VALUE_MARK) FAIL_AT(m, "a value is missing");
    }
    if (m->item_count + count > VALUES_MOST) FAIL_AT(m, "more than %zu values", VALUES_MOST);
    BERTH_TRY(berth_grow(&m->items, &m->item_capacity, m->item_count + count, sizeof *m->items));
    if (count > 0) memcpy(m->items + m->item_count, m->stack + m->depth - count, count * sizeof *m->items);
    m->item_count += count;
    m->depth -= count;
    return push(m, tuple);
}

/* Adds the values above the mark, two by two, to the dictionary below it. */
static berth_status set_items(struct machine *m, size_t first, size_t below) {
    if ((m->depth - first) % 2 != 0) FAIL_AT(m, "a dictionary's key without a value");
    if (below == 0 || m->stack[below - 1].kind == VALUE_MARK) FAIL_AT(m, "a dictionary is missing");
    const struct value dict = m->stack[below - 1];
    for (size_t i = first; i < m->depth && dict.kind == VALUE_DICT; i += 2) {
        if (m->pair_count >= VALUES_MOST) FAIL_AT(m, "more than %zu values", VALUES_MOST);
        BERTH_TRY(berth_grow(&m->pairs, &m->pair_capacity, m->pair_count + 1, sizeof *m->pairs));
        m->pairs[m->pair_count++] = (struct pair){dict.as.number, m->stack[i], m->stack[i + 1]};
    }
    m->depth = below;
    return BERTH_OK;
}

static berth_status memo_put(struct machine *m, uint64_t index) {
    if (m->depth == 0 || m->stack[m->depth - 1].kind == VALUE_MARK) FAIL_AT(m, "a value is missing");
    if (index >= VALUES_MOST || index > m->size)
        FAIL_AT(m, "value number %llu is remembered, of so few", (unsigned long long)index);
    if (index >= m->memo_count) {
        BERTH_TRY(berth_grow(&m->memo, &m->memo_capacity, (size_t)index + 1, sizeof *m->memo));
        for (; m->memo_count <= index; m->memo_count++)
            m->memo[m->memo_count].kind = VALUE_MARK; /* nothing there */
    }
    m->memo[index] = m->stack[m->depth - 1];
    return BERTH_OK;
}

static berth_status memo_get(struct machine *m, uint64_t index) {
    if (index >= m->memo_count || m->memo[index].kind == VALUE_MARK)
        FAIL_AT(m, "value number %llu was never remembered", (unsigned long long)index);
    return push(m, m->memo[index]);
}

/* ---- arguments of opcodes */

static berth_status take(struct machine *m, const unsigned char **out, uint64_t length) {
    if (length > m->size - m->at)
        FAIL_AT(m, "%llu bytes are missing", (unsigned long long)(length - (m->size - m->at)));
    *out = m->code + m->at;
    m->at += (size_t)length;
    return BERTH_OK;
}

static berth_status take_number(struct machine *m, uint64_t *out, int bytes) {
    const unsigned char *p = NULL;
    BERTH_TRY(take(m, &p, (uint64_t)bytes));
    *out = 0;
    for (int i = bytes; i-- > 0;)
        *out = *out << 8 | p[i];
    return BERTH_OK;
}

/* A text behind its length of `bytes` bytes. */
static berth_status take_text(struct machine *m, int bytes) {
    uint64_t length = 0;
    const unsigned char *p = NULL;
    BERTH_TRY(take_number(m, &length, bytes));
    BERTH_TRY(take(m, &p, length));
    return push(m, (struct value){.kind = VALUE_TEXT, .as.text = {(const char *)p, (size_t)length}});
}

static berth_status take_line(struct machine *m, struct text *out) {
    const unsigned char *end = memchr(m->code + m->at, '\n', m->size - m->at);
    if (end == NULL) FAIL_AT(m, "a name without an end");
    *out = (struct text){(const char *)m->code + m->at, (size_t)(end - (m->code + m->at))};
    m->at += out->length + 1;
    return BERTH_OK;
}

static bool text_is(struct text t, const char *word) {
    return t.length == strlen(word) && memcmp(t.at, word, t.length) == 0;
}

/* What of a stranger's text may stand in a message. */
static const char *printable(struct text t, char out[64]) {
    size_t n = 0;
    for (; n < t.length && n < 60; n++)
        out[n] = t.at[n] >= ' ' && t.at[n] < 0x7F ? t.at[n] : '?';
    out[n] = '\0';
    return out;
}

static berth_status push_global(struct machine *m, struct text module, struct text name) {
    char a[64], b[64];
    for (size_t i = 0; i < sizeof GLOBALS / sizeof GLOBALS[0]; i++) {
        if (text_is(module, GLOBALS[i].module) && text_is(name, GLOBALS[i].name))
            return push(m, (struct value){.kind = VALUE_GLOBAL, .global = (int)i});
    }
    FAIL_AT(m, "it names %s.%s, which a model's weights have no need of; nothing was executed",
            printable(module, a), printable(name, b));
}

/* ---- what the known functions would make */

static const struct value *item(const struct machine *m, struct value tuple, size_t i) {
    return &m->items[tuple.as.items.first + i];
}

/* ('storage', GLOBAL, key, location, elements) */
static berth_status make_storage(struct machine *m) {
    struct value id;
    BERTH_TRY(pop(m, &id));
    const bool five = id.kind == VALUE_TUPLE && id.as.items.count == 5;
    if (!five || item(m, id, 0)->kind != VALUE_TEXT || !text_is(item(m, id, 0)->as.text, "storage") ||
        item(m, id, 1)->kind != VALUE_GLOBAL || GLOBALS[item(m, id, 1)->global].kind != GLOBAL_STORAGE ||
        item(m, id, 2)->kind != VALUE_TEXT || item(m, id, 4)->kind != VALUE_INT ||
        item(m, id, 4)->as.number < 0)
        FAIL_AT(m, "a reference to something other than a tensor's storage");
    if (m->storage_count >= TENSORS_MOST) FAIL_AT(m, "more than %zu storages", TENSORS_MOST);
    BERTH_TRY(berth_grow(&m->storages, &m->storage_capacity, m->storage_count + 1, sizeof *m->storages));
    m->storages[m->storage_count] = (struct storage){item(m, id, 2)->as.text, item(m, id, 4)->as.number};
    return push(m, (struct value){.kind = VALUE_STORAGE,
                                  .global = item(m, id, 1)->global,
                                  .as.number = (int64_t)m->storage_count++});
}

static bool read_sizes(const struct machine *m, const struct value *tuple, int64_t *out, int *rank) {
    if (tuple->kind != VALUE_TUPLE || tuple->as.items.count > 8) return false;
    *rank = (int)tuple->as.items.count;
    for (int i = 0; i < *rank; i++) {
        const struct value *v = item(m, *tuple, (size_t)i);
        if (v->kind != VALUE_INT || v->as.number < 0) return false;
        out[i] = v->as.number;
    }
    return true;
}

/* (storage, offset, shape, strides, ...) */
static berth_status make_tensor(struct machine *m, struct value arguments) {
    int64_t strides[8];
    int stride_count = 0;
    struct torch_tensor t = {0};
    const bool plain = arguments.as.items.count >= 4 && item(m, arguments, 0)->kind == VALUE_STORAGE &&
                       item(m, arguments, 1)->kind == VALUE_INT && item(m, arguments, 1)->as.number >= 0 &&
                       read_sizes(m, item(m, arguments, 2), t.shape, &t.rank) &&
                       read_sizes(m, item(m, arguments, 3), strides, &stride_count) && t.rank == stride_count;
    if (!plain) FAIL_AT(m, "a tensor without storage, shape (of at most 8 dimensions) and strides");
    const struct value *storage = item(m, arguments, 0);
    const struct storage *s = &m->storages[storage->as.number];
    t.dtype = GLOBALS[storage->global].dtype;
    t.element_bytes = GLOBALS[storage->global].bytes;
    t.offset = item(m, arguments, 1)->as.number;
    t.storage_elements = s->elements;
    t.storage_key = s->key.at;
    t.storage_key_length = s->key.length;
    t.contiguous = true;
    t.count = 1;
    for (int i = t.rank; i-- > 0;) {
        if (t.shape[i] > 1 && strides[i] != t.count) t.contiguous = false;
        if (__builtin_mul_overflow(t.count, t.shape[i], &t.count))
            FAIL_AT(m, "a tensor of more than 2^63 elements");
    }
    t.contiguous = t.contiguous || t.count <= 1;
    if (m->tensor_count >= TENSORS_MOST) FAIL_AT(m, "more than %zu tensors", TENSORS_MOST);
    BERTH_TRY(berth_grow(&m->tensors, &m->tensor_capacity, m->tensor_count + 1, sizeof *m->tensors));
    m->tensors[m->tensor_count] = t;
    return push(m, (struct value){.kind = VALUE_TENSOR, .as.number = (int64_t)m->tensor_count++});
}

static berth_status reduce(struct machine *m) {
    struct value arguments, function;
    BERTH_TRY(pop(m, &arguments));
    BERTH_TRY(pop(m, &function));
    if (function.kind != VALUE_GLOBAL || arguments.kind != VALUE_TUPLE)
        FAIL_AT(m, "a call of something that is no function");
    switch (GLOBALS[function.global].kind) {
    case GLOBAL_DICT:
        if (arguments.as.items.count != 0) FAIL_AT(m, "a dictionary made of something else");
        return push(m, (struct value){.kind = VALUE_DICT, .as.number = m->dicts++});
    case GLOBAL_TENSOR:
        return make_tensor(m, arguments);
    case GLOBAL_PARAMETER:
        if (arguments.as.items.count < 1 || item(m, arguments, 0)->kind != VALUE_TENSOR)
            FAIL_AT(m, "a parameter that is no tensor");
        return push(m, *item(m, arguments, 0));
    case GLOBAL_STORAGE:
        break;
    }
    FAIL_AT(m, "a call of a storage");
}

/* ---- opcodes */

static berth_status run_tuples(struct machine *m, unsigned char op) {
    size_t first = 0;
    if (op != 't') return make_tuple(m, (size_t)(op - 0x85 + 1)); /* TUPLE1, TUPLE2, TUPLE3 */
    BERTH_TRY(find_mark(m, &first));
    BERTH_TRY(make_tuple(m, m->depth - first));
    m->stack[m->depth - 2] = m->stack[m->depth - 1]; /* over the mark */
    m->depth--;
    return BERTH_OK;
}

static berth_status run_collections(struct machine *m, unsigned char op) {
    struct value ignored;
    size_t first = 0;
    switch (op) {
    case '}':
        return push(m, (struct value){.kind = VALUE_DICT, .as.number = m->dicts++});
    case ']':
        return push_kind(m, VALUE_OTHER); /* lists hold no tensors of a state dictionary */
    case ')':
        return make_tuple(m, 0);
    case 's':
        if (m->depth < 2) FAIL_AT(m, "a value is missing");
        for (size_t i = m->depth - 2; i < m->depth; i++) {
            if (m->stack[i].kind == VALUE_MARK) FAIL_AT(m, "a value is missing");
        }
        return set_items(m, m->depth - 2, m->depth - 2);
    case 'u':
        BERTH_TRY(find_mark(m, &first));
        return set_items(m, first, first - 1);
    case 'a':
        return pop(m, &ignored);
    case 'e':
        BERTH_TRY(find_mark(m, &first));
        m->depth = first - 1;
        return BERTH_OK;
    default: /* BUILD: attributes of what lies below */
        return pop(m, &ignored);
    }
}

static berth_status run_numbers(struct machine *m, unsigned char op) {
    uint64_t number = 0, length = 0;
    const unsigned char *p = NULL;
    switch (op) {
    case 'J':
        BERTH_TRY(take_number(m, &number, 4));
        return push_int(m, (int32_t)(uint32_t)number);
    case 'K':
    case 'M':
        BERTH_TRY(take_number(m, &number, op == 'K' ? 1 : 2));
        return push_int(m, (int64_t)number);
    case 'G':
        BERTH_TRY(take(m, &p, 8));
        return push_kind(m, VALUE_OTHER);
    default: /* LONG1: little-endian, two's complement */
        BERTH_TRY(take_number(m, &length, 1));
        if (length > 8) FAIL_AT(m, "a number of %llu bytes", (unsigned long long)length);
        BERTH_TRY(take_number(m, &number, (int)length));
        if (length > 0 && length < 8 && (number >> (8 * length - 1) & 1)) number |= ~(uint64_t)0 << 8 * length;
        return push_int(m, (int64_t)number);
    }
}

static berth_status run_names(struct machine *m, unsigned char op) {
    struct text module, name;
    if (op == 'c') {
        BERTH_TRY(take_line(m, &module));
        BERTH_TRY(take_line(m, &name));
        return push_global(m, module, name);
    }
    struct value a, b;
    BERTH_TRY(pop(m, &b));
    BERTH_TRY(pop(m, &a));
    if (a.kind != VALUE_TEXT || b.kind != VALUE_TEXT) FAIL_AT(m, "a name that is no text");
    return push_global(m, a.as.text, b.as.text);
}

static berth_status run_memo(struct machine *m, unsigned char op) {
    uint64_t index = m->memo_count;
    if (op != 0x94) BERTH_TRY(take_number(m, &index, op == 'q' || op == 'h' ? 1 : 4));
    return op == 'h' || op == 'j' ? memo_get(m, index) : memo_put(m, index);
}

/* One opcode. The bytes are those of Python's pickletools. */
static berth_status run_opcode(struct machine *m, unsigned char op) {
    uint64_t number = 0;
    switch (op) {
    case 0x80: /* PROTO */
        BERTH_TRY(take_number(m, &number, 1));
        if (number > 5) FAIL_AT(m, "protocol %llu, known are 2 to 5", (unsigned long long)number);
        return BERTH_OK;
    case 0x95: /* FRAME */
        return take_number(m, &number, 8);
    case '(':
        return push_kind(m, VALUE_MARK);
    case 'N':
    case 0x88:
    case 0x89:
        return push_kind(m, VALUE_OTHER);
    case 'X':
    case 'T':
        return take_text(m, 4);
    case 0x8c:
    case 'U':
        return take_text(m, 1);
    case 0x8d:
        return take_text(m, 8);
    case 'J':
    case 'K':
    case 'M':
    case 'G':
    case 0x8a:
        return run_numbers(m, op);
    case 't':
    case 0x85:
    case 0x86:
    case 0x87:
        return run_tuples(m, op);
    case '}':
    case ']':
    case ')':
    case 's':
    case 'u':
    case 'a':
    case 'e':
    case 'b':
        return run_collections(m, op);
    case 'c':
    case 0x93:
        return run_names(m, op);
    case 'q':
    case 'r':
    case 'h':
    case 'j':
    case 0x94:
        return run_memo(m, op);
    case 'Q':
        return make_storage(m);
    case 'R':
        return reduce(m);
    default:
        m->at--;
        FAIL_AT(m, "opcode 0x%02x, which a dictionary of tensors is not written with", op);
    }
}

static berth_status collect(struct machine *m, struct value top, struct torch_tensors *out) {
    size_t capacity = 0;
    if (top.kind != VALUE_DICT)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: data.pkl holds something other than a dictionary of tensors", m->file);
    for (size_t i = 0; i < m->pair_count; i++) {
        const struct pair *p = &m->pairs[i];
        if (p->dict != top.as.number || p->value.kind != VALUE_TENSOR || p->key.kind != VALUE_TEXT) continue;
        const struct text name = p->key.as.text;
        if (name.length == 0 || name.length > NAME_MOST || memchr(name.at, 0, name.length) != NULL ||
            berth_utf8_check(name.at, name.length) != name.length)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: data.pkl: a tensor's name is empty, too long or not valid UTF-8",
                       m->file);
        BERTH_TRY(berth_grow(&out->list, &capacity, out->count + 1, sizeof *out->list));
        struct torch_tensor *t = &out->list[out->count];
        *t = m->tensors[p->value.as.number];
        BERTH_TRY(berth_strndup(&t->name, name.at, name.length));
        out->count++;
    }
    return BERTH_OK;
}

berth_status torch_pickle_read(struct torch_tensors *out, const char *file, const void *bytes, size_t size) {
    berth_status status = BERTH_OK;
    struct machine m = {.file = file, .code = bytes, .size = size};
    struct value top;
    *out = (struct torch_tensors){0};
    if (size > PICKLE_MOST)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: data.pkl of %zu bytes, at most %zu are read", file, size, PICKLE_MOST);
    for (;;) {
        if (m.at >= m.size)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: data.pkl byte %zu: it ends without a STOP", file, m.at);
        const unsigned char op = m.code[m.at++];
        if (op == '.') break;
        BERTH_TRY_OUT(run_opcode(&m, op));
    }
    BERTH_TRY_OUT(pop(&m, &top));
    BERTH_TRY_OUT(collect(&m, top, out));
out:
    free(m.stack);
    free(m.memo);
    free(m.items);
    free(m.pairs);
    free(m.storages);
    free(m.tensors);
    if (status != BERTH_OK) torch_tensors_deinit(out);
    return status;
}

void torch_tensors_deinit(struct torch_tensors *t) {
    for (size_t i = 0; i < t->count; i++)
        free(t->list[i].name);
    free(t->list);
    *t = (struct torch_tensors){0};
}
