/* attention_slot.c: makes and runs what attention_slot.h describes. */
#include "device/cuda/attention_slot.h"

#include <stdio.h>

#include "berth/kernels_cuda.h"

static void drop_plans(struct attention_slot *slot, struct berth_device *dev) {
    attention_cuda_close(slot->plans);
    berth_device_free(dev, slot->memory, slot->bytes);
    slot->plans = NULL;
    slot->memory = NULL;
    slot->bytes = 0;
    berth_str_deinit(&slot->told);
    berth_str_init(&slot->told);
}

void attention_slot_clear(struct attention_slot *slot, struct berth_device *dev) {
    drop_plans(slot, dev);
    berth_str_deinit(&slot->told);
    if (slot->handle != NULL) slot->api->Destroy(slot->handle);
    slot->handle = NULL;
}

berth_status attention_slot_fit(struct attention_slot *slot, struct berth_device *dev) {
    const size_t bytes = attention_cuda_bytes(slot->plans);
    if (bytes <= slot->bytes) return BERTH_OK;
    berth_device_free(dev, slot->memory, slot->bytes);
    slot->memory = NULL;
    slot->bytes = 0;
    BERTH_TRY(berth_device_alloc(dev, &slot->memory, bytes));
    slot->bytes = bytes;
    attention_cuda_memory(slot->plans, slot->memory);
    return BERTH_OK;
}

/* Plans for all batches, and their memory. */
static berth_status make_plans(struct attention_slot *slot, struct berth_device *dev,
                               const struct berth_attention_use *use) {
    if (slot->handle == NULL) BERTH_TRY(CUDNN_CALL(slot->api, Create(&slot->handle)));
    const struct cudnn_device device = {.handle = slot->handle};
    BERTH_TRY(attention_cuda_open(&slot->plans, slot->api, &device, use));
    BERTH_TRY(attention_slot_fit(slot, dev));
    berth_str_addf(&slot->told, "; cuDNN %zu, %d plans", slot->api->GetVersion(),
                   attention_cuda_plans(slot->plans));
    return BERTH_OK;
}

berth_status attention_slot_set(struct attention_slot *slot, struct berth_device *dev,
                                const struct berth_attention_use *use, struct attention_device device) {
    char lack[512];
    bool serves = false;
    drop_plans(slot, dev);
    if (use->kind != BERTH_ATTENTION_OWN && slot->api == NULL && cudnn_load(&slot->api) != BERTH_OK) {
        snprintf(lack, sizeof lack, "%s", berth_error_text());
        device.cudnn_lacks = lack;
        berth_error_clear();
    }
    BERTH_TRY(attention_choose(&serves, &slot->told, use, &device));
    berth_status status = serves ? make_plans(slot, dev, use) : BERTH_OK;
    if (status != BERTH_OK) drop_plans(slot, dev);
    if (status == BERTH_OK || use->kind == BERTH_ATTENTION_CUDNN) return status;
    berth_str_addf(&slot->told, "attention: own kernels (%s)", berth_error_text()); /* auto */
    berth_error_clear();
    return BERTH_OK;
}

int attention_slot_run(struct attention_slot *slot, const struct attention_cuda_call *c, void *workspace,
                       berth_stream *stream) {
    if (slot->plans != NULL && attention_cuda_serves(slot->plans, c))
        return attention_cuda_run(slot->plans, c, stream) == BERTH_OK ? BERTH_CUDA_OK : BERTH_CUDA_E_LIBRARY;
    if (c->dqkv == NULL)
        return slot->own->attention_forward(c->out, c->lse, c->qkv, c->cu_seqlens, workspace, c->tokens,
                                            c->sequences, c->max_length, c->heads, c->head_size, c->scale,
                                            c->dropout, c->dtype, stream);
    return slot->own->attention_backward(c->dqkv, c->dout, c->qkv, c->out, c->lse, c->cu_seqlens, workspace,
                                         c->tokens, c->sequences, c->max_length, c->heads, c->head_size,
                                         c->scale, c->dropout, c->dtype, stream);
}
