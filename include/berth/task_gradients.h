/* task_gradients.h: the gradients of each task by itself (PCGrad, GradNorm, MGDA and their kin), from one walk
 * back.
 *
 *     berth_task_gradients_create(&g, m, &options);                      // once a layout of the gradients
 *     berth_task_gradients_begin(g);                                     // each optimizer step: zero
 *     berth_task_gradients_arrange(g, batch, &arranged);                 // each batch: a task's sequences together
 *     forward.task_gradients = g;
 *     berth_model_forward(m, tape, arranged, &forward, logits);  ... berth_tape_backward(tape, loss)
 *     berth_task_gradients_walked(g);                                    // before the tape's reset
 *     berth_task_gradients_gram(g, gram);                                // [tasks, tasks] products of gradients
 *     berth_task_gradients_combine(g, coefficients);                     // gradients += sum over tasks of c_k g_k
 *
 * Gradients by the shared parameters: the backbone's that are trained, and those of a head that several tasks use.
 * Sequences do not see each other in the backbone, so the gradient of an activation's row is that of one task: one walk
 * over all rows gives every task's, and only the sums that make a parameter's gradient are taken a task at a time, each
 * into a buffer of the task's own. For that the batch is arranged by task; a sequence with items of several tasks stands
 * there once for each. A buffer a task: 4 bytes an element; the token table's, which is most of a small model and of
 * which a step touches little, as the rows that were met, and whole where a masked language model is tied to it. What is
 * not shared (a task's own head) goes where it always goes.
 *
 * Gradients by the shared representation: by the last hidden states [T, H], which each task's head is shown through a tap
 * of its own. The batch stays as it is, the walk fills the parameters' joint gradient as always, and leaves K x T x H
 * floats of step memory, from which the products are taken batch by batch. Heads that read other layers than the last
 * have no one representation: BERTH_E_USAGE names one.
 *
 * Tasks that do not take part in a step have zeros. Task k is head k. One thread; the model and the device outlive it. */
#ifndef BERTH_TASK_GRADIENTS_H
#define BERTH_TASK_GRADIENTS_H

#include "berth/model.h"

struct berth_task_gradients;
struct berth_task_gradient_options {
    float *const *gradients; /* [parameter_count] as in the forward options; copied. The shared ones lie in one buffer, in
                                the parameters' order */
    const bool *trained;     /* [parameter_count] those that count; NULL: all that have a gradient */
    const bool *wanted;      /* [head_count] tasks that are trained; NULL: all. Others have no buffer */
    bool representation;     /* by the last hidden states; else by the shared parameters */
    bool dense;              /* the token table's whole, not as rows: for who adds buffers of several walks up */
};
berth_status berth_task_gradients_create(struct berth_task_gradients **out, struct berth_model *m,
                                         const struct berth_task_gradient_options *options) BERTH_CHECKED;
void berth_task_gradients_free(struct berth_task_gradients *g); /* NULL is allowed */
/* Device memory of all that is shared, [tasks wanted, span] with gaps of zeros, *count floats; with dense there is no
 * other. To be summed over several walks before gram and combine. NULL and 0 where nothing is. */
float *berth_task_gradients_buffer(const struct berth_task_gradients *g, int64_t *count);
size_t berth_task_gradients_memory(const struct berth_task_gradients *g); /* bytes on the device now */
/* The same from shapes alone: rows: distinct tokens that the tasks of a step meet. */
int64_t berth_task_gradients_floats(const struct berth_model *m, const bool *trained, const bool *wanted, int64_t rows);

berth_status berth_task_gradients_begin(struct berth_task_gradients *g) BERTH_CHECKED;
/* *out belongs to g, until the next call; by the representation it is `in` itself. */
berth_status berth_task_gradients_arrange(struct berth_task_gradients *g, const struct berth_batch *in,
                                          const struct berth_batch **out) BERTH_CHECKED;
/* After a batch's backward, before the tape's reset. */
berth_status berth_task_gradients_walked(struct berth_task_gradients *g) BERTH_CHECKED;
/* Products of the gradients of the losses that were walked since the last begin; the square root of the diagonal: norms. */
berth_status berth_task_gradients_gram(struct berth_task_gradients *g,
                                       double *gram /* [tasks, tasks] */) BERTH_CHECKED;
/* By parameters alone: adds them to the gradients that they were made from. Uses them up: they are scaled in place. */
berth_status berth_task_gradients_combine(struct berth_task_gradients *g,
                                          const double *coefficients /* [tasks] */) BERTH_CHECKED;

#endif /* BERTH_TASK_GRADIENTS_H */
