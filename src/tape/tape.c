/* tape.c: the record: creation, the life of a step, what goes on it. */
#include <stdlib.h>

#include "tape/tape_priv.h"

static const char *const op_names[] = {
#define X(name) #name,
    TAPE_OP_MAP(X)
#undef X
};
_Static_assert(sizeof op_names / sizeof *op_names == TAPE_OP_COUNT, "a name for each operation");

const char *tape_op_name(enum tape_op op) {
    return op_names[op];
}

berth_status berth_tape_create(struct berth_tape **out, struct berth_device *dev) {
    BERTH_TRY(berth_calloc(out, 1, sizeof **out));
    (*out)->dev = dev;
    step_memory_init(&(*out)->memory, dev);
    return BERTH_OK;
}

void berth_tape_free(struct berth_tape *tape) {
    if (!tape) return;
    step_memory_deinit(&tape->memory);
    for (size_t i = 0; i < tape->slab_count; i++) free(tape->tensor_slabs[i]);
    free(tape->tensor_slabs);
    free(tape->nodes);
    free(tape);
}

void berth_tape_reset(struct berth_tape *tape, bool record) {
    step_memory_reset(&tape->memory);
    tape->tensor_count = 0;
    tape->node_count = 0;
    tape->record = record;
}

struct berth_device *berth_tape_device(struct berth_tape *tape) {
    return tape->dev;
}

size_t berth_tape_memory(const struct berth_tape *tape) {
    return tape->memory.held;
}

int64_t berth_tape_allocations(const struct berth_tape *tape) {
    return tape->memory.allocations;
}

int64_t berth_tape_recorded(const struct berth_tape *tape) {
    return (int64_t)tape->node_count;
}

berth_status berth_tape_upload(struct berth_tape *tape, const void **out, const void *host, size_t bytes) {
    if (tape->dev->backend->host_memory) {
        *out = host;
        return BERTH_OK;
    }
    void *memory = NULL;
    BERTH_TRY(step_memory_take(&tape->memory, &memory, bytes));
    BERTH_TRY(berth_device_upload(tape->dev, memory, host, bytes));
    *out = memory;
    return BERTH_OK;
}

bool tape_needs_grad(const struct berth_tape *tape, struct berth_tensor *const *inputs, int count) {
    if (!tape->record) return false;
    for (int i = 0; i < count; i++)
        if (inputs[i] && inputs[i]->needs_grad) return true;
    return false;
}

berth_status tape_record(struct berth_tape *tape, struct tape_node **node, enum tape_op op,
                         struct berth_tensor *out) {
    BERTH_TRY(berth_grow(&tape->nodes, &tape->node_capacity, tape->node_count + 1, sizeof *tape->nodes));
    struct tape_node *n = &tape->nodes[tape->node_count++];
    *n = (struct tape_node){.op = op, .out = out};
    out->needs_grad = true;
    *node = n;
    return BERTH_OK;
}

void tape_save(struct tape_node *node, int slot, struct berth_tensor *t) {
    node->saved[slot] = t;
    t->references++;
}

berth_status tape_node_memory(struct berth_tape *tape, struct tape_node *node, int slot, size_t bytes) {
    BERTH_TRY(step_memory_take(&tape->memory, &node->mem[slot], bytes));
    node->mem_bytes[slot] = bytes;
    return BERTH_OK;
}

bool tape_dropout_set(struct berth_dropout *to, const struct berth_tape_dropout *from) {
    *to = (struct berth_dropout){0};
    if (!from || from->rate <= 0.0f) return false;
    to->threshold = berth_dropout_threshold(from->rate);
    if (to->threshold == 0) to->threshold = 1; /* a rate above 0 is never silently none */
    to->site = from->site;
    to->key = from->key;
    to->ordinal = from->ordinal;
    to->position = from->position;
    return true;
}
