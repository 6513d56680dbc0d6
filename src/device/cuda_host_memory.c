/* cuda_host_memory.c: one range of addresses, reserved when it is first needed and opened as a whole.
 *
 *     base [block][gap][block][gap][block]....... top ...............................  base + RESERVED
 *          '---------- what is opened ----------'
 *
 * A block takes the first gap that holds it. Under the address sanitizer all that is no block is poisoned, so a
 * kernel that runs over a block's end is reported. Blocks are few (tens): walks over them cost nothing beside a
 * launch. */
#include "device/cuda_host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/device_priv.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#define RESERVED ((size_t)64 << 30)
#define UNIT ((size_t)256)        /* alignment of blocks, and the least gap behind one */
#define STRETCH ((size_t)2 << 20) /* what is opened grows by huge pages: to protect one is one entry */

struct block {
    unsigned char *start;
    size_t size, bytes; /* with and without the gap */
};

static struct {
    unsigned char *base, *top; /* top: of what is opened; NULL: nothing is reserved yet */
    struct block *blocks;      /* by address */
    size_t count, capacity;
    size_t taken; /* bytes of blocks */
    int depth;    /* of open */
} memory;

/* Bytes that the device has. */
static size_t most_bytes(void) {
    const char *text = getenv("BERTH_CUDA_HOST_MEMORY");
    int64_t mib = 0;
    if (text == NULL || !berth_parse_int64(text, &mib) || mib < 1 || (size_t)mib > RESERVED >> 20)
        return RESERVED;
    return (size_t)mib << 20;
}

static berth_status reserve(void) {
    if (memory.base != NULL) return BERTH_OK;
    void *base = mmap(NULL, RESERVED + STRETCH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) BERTH_FAIL(BERTH_E_MEMORY, "device cuda-host: no range of %zu addresses", RESERVED);
    memory.base = (unsigned char *)(((uintptr_t)base + STRETCH - 1) / STRETCH * STRETCH);
    memory.top = memory.base;
    (void)madvise(memory.base, RESERVED, MADV_HUGEPAGE); /* only advice */
    return BERTH_OK;
}

static void protect(unsigned char *from, unsigned char *to, int how) {
    if (from == to) return;
    const int failed = mprotect(from, (size_t)(to - from), how);
    BERTH_ASSERT_MSG(failed == 0, "device memory of cuda-host cannot be %s",
                     how == PROT_NONE ? "closed" : "opened");
}

void cuda_host_memory_open(void) {
    if (memory.depth++ == 0) protect(memory.base, memory.top, PROT_READ | PROT_WRITE);
}

void cuda_host_memory_close(void) {
    BERTH_ASSERT_MSG(memory.depth > 0, "device memory is closed already");
    if (--memory.depth == 0) protect(memory.base, memory.top, PROT_NONE);
}

/* Where a block of `size` goes, and its index among the blocks. */
static unsigned char *find_gap(size_t size, size_t *index) {
    unsigned char *at = memory.base;
    for (*index = 0; *index < memory.count; ++*index) {
        const struct block *next = &memory.blocks[*index];
        if ((size_t)(next->start - at) >= size) break;
        at = next->start + next->size;
    }
    return at;
}

/* Makes what is opened reach to `end`. */
static void stretch(unsigned char *end) {
    const size_t bytes = ((size_t)(end - memory.base) + STRETCH - 1) / STRETCH * STRETCH;
    unsigned char *top = memory.base + bytes;
    if (top <= memory.top) return;
    ASAN_POISON_MEMORY_REGION(memory.top, (size_t)(top - memory.top));
    if (memory.depth > 0) protect(memory.top, top, PROT_READ | PROT_WRITE);
    memory.top = top;
}

berth_status cuda_host_memory_take(void **out, size_t bytes) {
    const size_t most = most_bytes();
    size_t index = 0;
    *out = NULL;
    BERTH_TRY(reserve());
    BERTH_TRY(berth_grow(&memory.blocks, &memory.capacity, memory.count + 1, sizeof *memory.blocks));
    if (bytes > most || memory.taken > most - bytes)
        return device_out_of_memory("cuda-host", bytes, most - memory.taken, most, memory.taken);
    const size_t size = bytes / UNIT * UNIT + 2 * UNIT;
    unsigned char *at = find_gap(size, &index);
    if ((size_t)(memory.base + RESERVED - at) < size)
        return device_out_of_memory("cuda-host", bytes, most - memory.taken, most, memory.taken);
    stretch(at + size);
    memmove(memory.blocks + index + 1, memory.blocks + index, (memory.count - index) * sizeof *memory.blocks);
    memory.blocks[index] = (struct block){at, size, bytes};
    memory.count++;
    memory.taken += bytes;
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    cuda_host_memory_open();
    memset(at, 0xFF, bytes);
    cuda_host_memory_close();
    *out = at;
    return BERTH_OK;
}

void cuda_host_memory_give(void *pointer) {
    if (pointer == NULL) return;
    for (size_t i = 0; i < memory.count; i++) {
        const struct block *b = &memory.blocks[i];
        if (b->start != pointer) continue;
        ASAN_POISON_MEMORY_REGION(b->start, b->size);
        if (b->size >= 2 * STRETCH) { /* its whole pages go back to the system */
            const size_t skip = (STRETCH - (size_t)(b->start - memory.base) % STRETCH) % STRETCH;
            (void)madvise(b->start + skip, (b->size - skip) / STRETCH * STRETCH, MADV_DONTNEED);
        }
        memory.taken -= b->bytes;
        memory.count--;
        memmove(memory.blocks + i, memory.blocks + i + 1, (memory.count - i) * sizeof *memory.blocks);
        return;
    }
    BERTH_ASSERT_MSG(false, "%p is no device memory of cuda-host", pointer);
}
