/* machine.c: what this machine and process are: threads, processor, memory, time. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "berth/base.h"

double berth_time_seconds(void) {
    struct timespec t;
    BERTH_ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Processors that this process may run on; masks of more than 1024 processors need a larger set. */
static int affinity_count(void) {
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (set == NULL) break;
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int berth_thread_count(void) {
    const char *wanted = getenv("OMP_NUM_THREADS");
    if (wanted != NULL) {
        char first[16]; /* "8" or a list by nesting level, "8,2" */
        size_t length = strcspn(wanted, ",");
        int64_t count = 0;
        if (length < sizeof first) {
            memcpy(first, wanted, length);
            first[length] = '\0';
            if (berth_parse_int64(first, &count) && count >= 1 && count <= 65536) return (int)count;
        }
    }
    return affinity_count();
}

static char cpu_text[256];

static void find_cpu_name(void) {
    char name[160] = "processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (f != NULL) {
        char line[512];
        while (fgets(line, sizeof line, f) != NULL) {
            if (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0) continue;
            const char *value = strchr(line, ':');
            if (value == NULL) continue;
            value += strspn(value, ": \t");
            snprintf(name, sizeof name, "%.*s", (int)strcspn(value, "\n"), value);
            break;
        }
        fclose(f);
    }
    int threads = berth_thread_count();
    snprintf(cpu_text, sizeof cpu_text, "%s (%d thread%s)", name, threads, threads == 1 ? "" : "s");
}

const char *berth_cpu_name(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_cpu_name);
    return cpu_text;
}

int64_t berth_peak_memory(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (int64_t)usage.ru_maxrss * 1024;
}
