/* slow_fsync: a disk that takes its time. Preloaded (LD_PRELOAD), every fsync first sleeps SLOW_FSYNC_MS milliseconds: so tests can hit a save in the middle. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd)
{
    int (*real)(int);
    const char *ms = getenv("SLOW_FSYNC_MS");
    long n = ms ? atol(ms) : 0;
    struct timespec left = {n / 1000, n % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0)
        continue;
    *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}
