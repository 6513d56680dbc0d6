/* op_segment.c: a part of the graph that is computed again in backward instead of being kept.
 *
 *     forward    run(x) with nothing recorded: what it computes on its way is freed as it goes
 *     record     [... before][segment: x, y]
 *     backward   the node is popped, run(x) is recorded in its place, y's gradient goes to the y computed
 * again, and the walk goes on over the new nodes
 *
 * The new nodes read x itself and add to the same gradients in the same order as those of a pass without a
 * segment, and what they compute is computed by the same operations from the same numbers (dropout's masks are
 * functions of their positions): the gradients are the same to the bit. */
#include "tape/tape_priv.h"

struct segment_arguments {
    berth_segment_run *run;
    void *user;
};

berth_status berth_op_segment(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                              bool trains, berth_segment_run *run, void *user) {
    const struct segment_arguments a = {run, user};
    struct tape_node *node = NULL;
    tensor_check_input(x, "segment", "x");
    BERTH_ASSERT_MSG(!x->is_parameter, "segment: %s is a parameter", tensor_describe(x).text);
    if (!tape->recording || !(trains || tensor_wants(x))) return run(user, x, out);
    x->references++; /* the node's, from now on: run may drop x */
    tape->recording = false;
    berth_status status = run(user, x, out);
    tape->recording = true;
    BERTH_TRY(status);
    BERTH_TRY(tape_record(tape, &node, TAPE_SEGMENT, *out, &x, 1));
    tape_set_arguments(node, &a, sizeof a);
    x->references--;
    tape_save(node, x);
    return BERTH_OK;
}

berth_status op_segment_backward(struct berth_tape *tape, struct tape_node *node) {
    const struct segment_arguments *a = (const void *)node->arguments;
    struct berth_tensor *x = node->in[0], *again = NULL;
    const bool dropped = x->dropped;
    const int group = tape->group;
    x->dropped = false;
    tape->recording = true;
    tape->group = node->group;
    berth_status status = a->run(a->user, x, &again);
    tape->recording = false;
    tape->group = group;
    if (dropped) berth_tape_drop(tape, x);
    BERTH_TRY(status);
    BERTH_ASSERT_MSG(again != x && again->needs_grad && tensor_same_shape(again, node->out),
                     "segment: %s the first time, %s the second", tensor_describe(node->out).text,
                     tensor_describe(again).text);
    again->grad = tape_take_gradient(node->out);
    again->grad_written = true;
    berth_tape_drop(tape, again);
    return BERTH_OK;
}
