/* prefetch.c: steps prepared ahead by a thread of its own.
 *
 *     slots   [held by the caller] [ready] [being filled]      a ring; taken and made count from 0
 *
 * Lock rule: `lock` guards made, taken, stop, failed and the error's text. A slot belongs to the thread while
 * made <= its number < taken + PREFETCH_SLOTS - 1 (the one held counts), to the caller otherwise; its content
 * is touched without the lock by its owner alone. What `next` works with belongs to the thread from start to
 * stop. Errors are a thread's own: the text is carried over and set again on the caller's side. What is
 * prepared does not depend on the thread: the bits are those of a call. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "data/sample_priv.h"

struct prefetch {
    prefetch_next *next;
    void *user; /* borrowed */
    struct prepared slots[PREFETCH_SLOTS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool running; /* the caller's alone */
    int64_t made, taken;
    bool stop;
    berth_status failed;
    char text[1024];
};

berth_status prefetch_create(struct prefetch **out, prefetch_next *next, void *user, int parts) {
    struct prefetch *f = NULL;
    *out = NULL;
    BERTH_TRY(berth_calloc(&f, 1, sizeof *f));
    f->next = next;
    f->user = user;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    for (int i = 0; i < PREFETCH_SLOTS; i++) {
        berth_status status = prepared_init(&f->slots[i], parts);
        if (status == BERTH_OK) continue;
        prefetch_free(f);
        return status;
    }
    *out = f;
    return BERTH_OK;
}

void prefetch_free(struct prefetch *f) {
    if (!f) return;
    prefetch_stop(f);
    for (int i = 0; i < PREFETCH_SLOTS; i++)
        prepared_deinit(&f->slots[i]);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* One step into its slot; the result is told under the lock. */
static bool make_one(struct prefetch *f) {
    pthread_mutex_lock(&f->lock);
    while (!f->stop && f->made - f->taken >= PREFETCH_SLOTS - 1)
        pthread_cond_wait(&f->changed, &f->lock);
    bool stop = f->stop;
    struct prepared *slot = &f->slots[f->made % PREFETCH_SLOTS];
    pthread_mutex_unlock(&f->lock);
    if (stop) return false;
    berth_status status = f->next(f->user, slot);
    pthread_mutex_lock(&f->lock);
    if (status == BERTH_OK) {
        f->made++;
    } else {
        f->failed = status;
        snprintf(f->text, sizeof f->text, "%s", berth_error_text());
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return status == BERTH_OK;
}

static void *run(void *user) {
    while (make_one(user)) {
    }
    return NULL;
}

/* Signals are for the program's own threads. */
static berth_status start(struct prefetch *f) {
    sigset_t all, before;
    f->stop = false;
    f->failed = BERTH_OK;
    f->made = f->taken = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) BERTH_FAIL(BERTH_E_MEMORY, "the thread that prepares input cannot be started (error %d)", error);
    pthread_setname_np(f->thread, "berth-input"); /* what `top -H` and debuggers show */
    f->running = true;
    return BERTH_OK;
}

void prefetch_stop(struct prefetch *f) {
    if (!f->running) return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    f->running = false;
}

berth_status prefetch_take(struct prefetch *f, const struct prepared **out, double *waited) {
    *out = NULL;
    *waited = 0;
    if (!f->running) BERTH_TRY(start(f));
    pthread_mutex_lock(&f->lock);
    if (f->made == f->taken && f->failed == BERTH_OK) {
        double begin = berth_time_seconds();
        while (f->made == f->taken && f->failed == BERTH_OK)
            pthread_cond_wait(&f->changed, &f->lock);
        *waited = berth_time_seconds() - begin;
    }
    berth_status status = f->made == f->taken ? f->failed : BERTH_OK;
    if (status == BERTH_OK) {
        *out = &f->slots[f->taken % PREFETCH_SLOTS];
        f->taken++; /* the slot held before is free from now on */
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    if (status == BERTH_OK) return BERTH_OK;
    return berth_error_set(status, __FILE__, __LINE__, "%s", f->text);
}
