/*
 * Counts allocations of a program that uses the system's allocator, from outside: preloaded, it passes every call on
 * to glibc and adds to counters in a file that the measuring side has mapped or reads at will.
 *
 *   COUNT_MALLOC_FILE=counts LD_PRELOAD=./count_malloc.so PROGRAM
 *
 * The file holds four 64-bit numbers: calls that allocate, bytes asked for, calls of realloc among the first, calls
 * of free.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALLOCATIONS, BYTES, REALLOCATIONS, FREES, COUNTERS };

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static _Atomic uint64_t before_start[COUNTERS];
static _Atomic uint64_t *counters = before_start;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("COUNT_MALLOC_FILE");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof before_start))
        _exit(127);
    void *mapped = mmap(NULL, sizeof before_start, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        _exit(127);
    close(file);
    counters = mapped;
}

static void add(int counter, uint64_t by)
{
    __atomic_fetch_add((uint64_t *)&counters[counter], by, __ATOMIC_RELAXED);
}

void *malloc(size_t bytes)
{
    add(ALLOCATIONS, 1);
    add(BYTES, bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    add(ALLOCATIONS, 1);
    add(BYTES, count * bytes);
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    add(ALLOCATIONS, 1);
    add(REALLOCATIONS, 1);
    add(BYTES, bytes);
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    add(ALLOCATIONS, 1);
    add(BYTES, bytes);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **place, size_t alignment, size_t bytes)
{
    void *got = memalign(alignment, bytes);
    if (!got)
        return ENOMEM;
    *place = got;
    return 0;
}

void free(void *old)
{
    if (old)
        add(FREES, 1);
    __libc_free(old);
}
