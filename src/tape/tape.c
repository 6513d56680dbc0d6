/* tape.c: the record of a step.
 *
 *     reset ── operations compute, those that need a gradient append a node ── backward pops the nodes ── reset
 *
 *     nodes   [linear][bias_act][linear][layernorm]...      a growing array, kept over steps
 *     slabs   [128 tensors][128 tensors]...                 kept too: a tensor's address holds until the reset
 *
 * A node names its inputs and output, and holds what backward needs: references to tensors whose data it will
 * read, and step memory of its own (row statistics). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape_priv.h"

const char *tape_op_name(enum tape_op op) {
    static const char *const names[] = {
#define X(upper, name) #name,
        TAPE_OP_MAP(X)
#undef X
    };
    _Static_assert(sizeof names / sizeof names[0] == TAPE_OPS, "a name for each operation");
    return names[op];
}

berth_status berth_tape_create(struct berth_tape **out, struct berth_device *dev) {
    struct berth_tape *tape = NULL;
    BERTH_TRY(berth_calloc(&tape, 1, sizeof *tape));
    tape->dev = dev;
    step_memory_init(&tape->memory, dev);
    tape->group = -1;
    *out = tape;
    return BERTH_OK;
}

void berth_tape_free(struct berth_tape *tape) {
    if (tape == NULL) return;
    step_memory_deinit(&tape->memory);
    for (size_t i = 0; i < tape->slab_count; i++)
        free(tape->slabs[i]);
    free(tape->slabs);
    free(tape->nodes);
    free(tape);
}

void berth_tape_reset(struct berth_tape *tape, bool record) {
    step_memory_reset(&tape->memory);
    tape->tensor_count = 0;
    tape->node_count = 0;
    tape->recording = record;
    tape->walked = false;
    tape->starts = NULL;
    tape->groups = 0;
    tape->group = -1;
}

void berth_tape_split(struct berth_tape *tape, const int64_t *starts, int groups) {
    BERTH_ASSERT_MSG(tape->node_count == 0 && groups >= 0, "%d groups, %zu nodes", groups, tape->node_count);
    tape->starts = starts;
    tape->groups = groups;
}

void berth_tape_group(struct berth_tape *tape, int group) {
    BERTH_ASSERT_MSG(group >= -1 && (group < tape->groups || tape->groups == 0), "group %d of %d", group,
                     tape->groups);
    tape->group = group;
}

void berth_tape_open(struct berth_tape *tape) {
    tape->memory.open = true;
}

void berth_tape_reserve(struct berth_tape *tape, size_t bytes) {
    step_memory_reset(&tape->memory);
    step_memory_reserve(&tape->memory, bytes);
}

struct berth_device *berth_tape_device(struct berth_tape *tape) {
    return tape->dev;
}

size_t berth_tape_memory(const struct berth_tape *tape) {
    return tape->memory.held;
}

int64_t berth_tape_allocations(const struct berth_tape *tape) {
    return tape->memory.requests;
}

int64_t berth_tape_recorded(const struct berth_tape *tape) {
    return (int64_t)tape->node_count;
}

bool tape_needs(const struct berth_tape *tape, struct berth_tensor *const *inputs, int count) {
    if (!tape->recording) return false;
    for (int i = 0; i < count; i++) {
        if (tensor_wants(inputs[i])) return true;
    }
    return false;
}

berth_status tape_record(struct berth_tape *tape, struct tape_node **node, enum tape_op op,
                         struct berth_tensor *out, struct berth_tensor *const *inputs, int count) {
    BERTH_ASSERT_MSG(count <= TAPE_INPUTS, "%s: %d inputs", tape_op_name(op), count);
    BERTH_TRY(berth_grow(&tape->nodes, &tape->node_capacity, tape->node_count + 1, sizeof *tape->nodes));
    struct tape_node *n = &tape->nodes[tape->node_count++];
    *n = (struct tape_node){.op = op, .out = out, .group = tape->group};
    for (int i = 0; i < count; i++)
        n->in[i] = inputs[i];
    out->needs_grad = true;
    *node = n;
    return BERTH_OK;
}

void tape_set_arguments(struct tape_node *node, const void *arguments, size_t size) {
    BERTH_ASSERT_MSG(size <= sizeof node->arguments, "%s: %zu bytes of arguments", tape_op_name(node->op),
                     size);
    memcpy(node->arguments, arguments, size);
}

void tape_save(struct tape_node *node, struct berth_tensor *t) {
    BERTH_ASSERT_MSG(node->saved_count < TAPE_SAVED, "%s saves too many tensors", tape_op_name(node->op));
    t->references++;
    node->saved[node->saved_count++] = t;
}

void tape_keep(struct tape_node *node, int slot, void *data, size_t bytes) {
    BERTH_ASSERT_MSG(slot < TAPE_KEPT && node->kept[slot].data == NULL, "%s: slot %d", tape_op_name(node->op),
                     slot);
    node->kept[slot] = (struct tape_kept){data, bytes};
}

void tape_release_saved(struct berth_tape *tape, struct tape_node *node, struct berth_tensor *t) {
    for (int i = 0; i < node->saved_count; i++) {
        if (node->saved[i] != t) continue;
        node->saved[i] = node->saved[--node->saved_count];
        BERTH_ASSERT_MSG(t->references > 0, "%s", tensor_describe(t).text);
        t->references--;
        tensor_settle(tape, t);
        return;
    }
}

void tape_release(struct berth_tape *tape, struct tape_node *node) {
    while (node->saved_count > 0)
        tape_release_saved(tape, node, node->saved[0]);
    for (int i = 0; i < TAPE_KEPT; i++) {
        step_memory_free(&tape->memory, node->kept[i].data, node->kept[i].bytes);
        node->kept[i].data = NULL;
    }
    if (node->out->grad_written) tape_discard(tape, node->out, tape_take_gradient(node->out));
}
