/* attention_choice.c: the rules of attention_choice.h.
 *
 * berth promises the same bits for the same program, libraries and device model, whatever `deterministic` says.
 * cuDNN 9.19 has deterministic engines for the backward graph over ragged sequences with dropout on compute
 * capability 9 alone, so elsewhere it does not serve. */
#include "device/attention_choice.h"

#include <stdio.h>

enum { LEAST_SEQUENCES = 16, LEAST_LENGTH = 32 };

/* Why cuDNN cannot serve; *code: what kind of mistake it is to ask for it. "" where it can. */
static void find_lack(char *out, size_t size, berth_status *code, const struct berth_attention_use *use,
                      const struct attention_device *device) {
    *code = BERTH_E_UNSUPPORTED;
    out[0] = '\0';
    if (device->cudnn_lacks != NULL) {
        snprintf(out, size, "%s", device->cudnn_lacks);
    } else if (device->major != 9) {
        snprintf(
            out, size,
            "%s has compute capability %d.%d, and the same bits each time are cuDNN's on 9.x (Hopper) alone",
            device->name, device->major, device->minor);
    } else if (use->dtype != BERTH_BF16) {
        *code = BERTH_E_USAGE;
        snprintf(out, size, "cuDNN's attention computes in bf16 alone, and the precision is not bf16");
    } else if (use->head_size != 32 && use->head_size != 64 && use->head_size != 128) {
        snprintf(out, size, "its head sizes are 32, 64 and 128, this model's is %lld",
                 (long long)use->head_size);
    }
}

berth_status attention_choose(bool *cudnn, struct berth_str *told, const struct berth_attention_use *use,
                              const struct attention_device *device) {
    char lack[640];
    berth_status code = BERTH_OK;
    find_lack(lack, sizeof lack, &code, use, device);
    *cudnn = use->kind == BERTH_ATTENTION_CUDNN;
    if (use->kind == BERTH_ATTENTION_OWN) {
        berth_str_add(told, "attention: own kernels");
        return BERTH_OK;
    }
    if (use->kind == BERTH_ATTENTION_CUDNN) {
        if (lack[0] != '\0')
            return berth_error_set(code, __FILE__, __LINE__,
                                   "attention: cudnn: %s; take attention: own or auto", lack);
        berth_str_add(told, "attention: cuDNN, as asked");
        if (use->dropout > 0)
            berth_str_add(told, "; its dropout masks are its own, not those of other devices");
        return BERTH_OK;
    }
    *cudnn = lack[0] == '\0' && use->dropout <= 0 && use->max_length >= ATTENTION_LONG;
    if (*cudnn)
        berth_str_addf(told, "attention: cuDNN, for sequences of up to %lld tokens",
                       (long long)use->max_length);
    else if (lack[0] != '\0')
        berth_str_addf(told, "attention: own kernels (%s)", lack);
    else if (use->dropout > 0)
        berth_str_add(told, "attention: own kernels (dropout: the same masks on every device)");
    else
        berth_str_addf(told, "attention: own kernels (sequences are shorter than %d tokens)",
                       (int)ATTENTION_LONG);
    return BERTH_OK;
}

struct attention_bucket attention_bucket_of(int64_t sequences, int64_t max_length) {
    struct attention_bucket b = {LEAST_SEQUENCES, LEAST_LENGTH};
    while (b.sequences < sequences)
        b.sequences *= 4;
    while (b.length < max_length)
        b.length *= 2;
    return b;
}

int attention_buckets(struct attention_bucket *out, int most, int64_t max_sequences, int64_t max_length) {
    const struct attention_bucket last = attention_bucket_of(max_sequences, max_length);
    int count = 0;
    for (int64_t length = LEAST_LENGTH; length <= last.length; length *= 2)
        for (int64_t sequences = LEAST_SEQUENCES; sequences <= last.sequences; sequences *= 4) {
            if (count < most) out[count] = (struct attention_bucket){sequences, length};
            count++;
        }
    return count;
}
