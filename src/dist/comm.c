/* comm.c: the operations, each handed to the backend, and the backend of one rank, which has nothing to do. */
#include "berth/dist.h"

static berth_status one_sum(struct berth_comm *c, struct berth_device *dev, float *data, int64_t n) {
    (void)c, (void)dev, (void)data, (void)n;
    return BERTH_OK;
}
static berth_status one_sum_host(struct berth_comm *c, double *data, int64_t n) {
    (void)c, (void)data, (void)n;
    return BERTH_OK;
}
static berth_status one_broadcast(struct berth_comm *c, void *data, size_t bytes) {
    (void)c, (void)data, (void)bytes;
    return BERTH_OK;
}
static berth_status one_barrier(struct berth_comm *c) {
    (void)c;
    return BERTH_OK;
}
static void one_fail(struct berth_comm *c, berth_status status, const char *text) {
    (void)c, (void)status, (void)text;
}

struct berth_comm *berth_comm_one(void) {
    static const struct berth_comm_table table = {
        .name = "one rank",
        .sum = one_sum,
        .sum_host = one_sum_host,
        .broadcast = one_broadcast,
        .barrier = one_barrier,
        .fail = one_fail,
        .close = one_barrier,
    };
    static struct berth_comm one = {.table = &table, .rank = 0, .size = 1};
    return &one;
}

berth_status berth_comm_close(struct berth_comm *c) {
    return c != NULL ? c->table->close(c) : BERTH_OK;
}

berth_status berth_comm_sum(struct berth_comm *c, struct berth_device *dev, float *data, int64_t n) {
    return c->table->sum(c, dev, data, n);
}

berth_status berth_comm_sum_host(struct berth_comm *c, double *data, int64_t n) {
    return c->table->sum_host(c, data, n);
}

berth_status berth_comm_broadcast(struct berth_comm *c, void *data, size_t bytes) {
    return c->table->broadcast(c, data, bytes);
}

berth_status berth_comm_barrier(struct berth_comm *c) {
    return c->table->barrier(c);
}

void berth_comm_fail(struct berth_comm *c, berth_status status, const char *text) {
    c->table->fail(c, status, text);
}
