/* A machine whose clock is wrong, for one process: preloaded into it, this adds JOBS_TEST_CLOCK seconds to what it is told
   of the time of day. What only measures distances (the monotonic clocks) goes on as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t shift(void) {
    const char *seconds = getenv("JOBS_TEST_CLOCK");
    return seconds ? (time_t)atol(seconds) : 0;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*theirs)(clockid_t, struct timespec *);
    if (!theirs) theirs = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = theirs(id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*theirs)(struct timeval *, void *);
    if (!theirs) theirs = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int failed = theirs(now, zone);
    if (!failed && now) now->tv_sec += shift();
    return failed;
}

time_t time(time_t *at) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
