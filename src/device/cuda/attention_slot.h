/* attention_slot.h: the implementation of attention that a GPU's device has in use: the own kernels, or cuDNN's
 * plans and, for batches beyond them, the own kernels. */
#ifndef BERTH_ATTENTION_SLOT_H
#define BERTH_ATTENTION_SLOT_H

#include "device/cuda/attention_cuda.h"

struct attention_slot {
    const struct berth_ops *own; /* the kernels' table; borrowed */
    const struct cudnn_api *api; /* NULL: cuDNN was never asked for */
    cudnnHandle_t handle;
    struct attention_cuda *plans; /* NULL: own kernels alone */
    void *memory;                 /* of the device */
    size_t bytes;
    struct berth_str told; /* which serves, and why; a line */
};

/* berth_device_set_attention; what was set before is gone. */
berth_status attention_slot_set(struct attention_slot *slot, struct berth_device *dev,
                                const struct berth_attention_use *use,
                                struct attention_device device) BERTH_CHECKED;
/* After plans have changed: memory for the greediest of them. */
berth_status attention_slot_fit(struct attention_slot *slot, struct berth_device *dev) BERTH_CHECKED;
void attention_slot_clear(struct attention_slot *slot, struct berth_device *dev);
/* The operation, forward or backward (call->dqkv): an error number of the table. */
int attention_slot_run(struct attention_slot *slot, const struct attention_cuda_call *call, void *workspace,
                       berth_stream *stream);

#endif /* BERTH_ATTENTION_SLOT_H */
