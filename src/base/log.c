/* log.c: the one log sink of the process. Lines of several threads come whole and one at a time. */
#include <pthread.h>
#include <stdlib.h>

#include "berth/base.h"

static struct {
    berth_log_sink *sink;
    void *user;
    enum berth_log_level max_level;
} target;
static pthread_mutex_t target_lock = PTHREAD_MUTEX_INITIALIZER;

void berth_log_set(berth_log_sink *sink, void *user, enum berth_log_level max_level) {
    pthread_mutex_lock(&target_lock);
    target.sink = sink;
    target.user = user;
    target.max_level = max_level;
    pthread_mutex_unlock(&target_lock);
}

void berth_log(enum berth_log_level level, const char *fmt, ...) {
    if (target.sink == NULL || level > target.max_level) return;
    char fixed[512];
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(fixed, sizeof fixed, fmt, args);
    va_end(args);
    const char *text = fixed;
    char *longer = NULL;
    if (length < 0) {
        text = fmt;
    } else if ((size_t)length >= sizeof fixed && vasprintf(&longer, fmt, again) >= 0) {
        text = longer; /* without memory the first 511 bytes have to do */
    }
    va_end(again);
    pthread_mutex_lock(&target_lock);
    if (target.sink != NULL) target.sink(target.user, level, text);
    pthread_mutex_unlock(&target_lock);
    free(longer);
}
