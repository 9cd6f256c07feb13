/* What the measuring programs share: the clock, sorting, a client of a line-based Unix socket.  Uses nothing of the daemon's, so that a floor
 * never stands on what it is compared with. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Of this process. */
static inline double cpu_us(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorts them and prints "NAME median p99". */
static inline void print_samples(const char *name, double *samples, size_t n)
{
    qsort(samples, n, sizeof *samples, by_size);
    printf("%s %.1f %.1f\n", name, samples[n / 2], samples[n * 99 / 100]);
}

static inline void write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0)
            die("write");
        bytes += put;
        n -= (size_t)put;
    }
}

/* -1 where nobody listens. */
static inline int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "%s: too long for the address of a socket\n", path);
        exit(1);
    }
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends a line and reads one line back, without its line feed. */
static inline void ask(int fd, const char *line, char *answer, size_t size)
{
    size_t n = 0;
    write_all(fd, line, strlen(line));
    while (n == 0 || answer[n - 1] != '\n') {
        ssize_t got = read(fd, answer + n, size - 1 - n);
        if (got <= 0)
            die("no answer");
        n += (size_t)got;
    }
    answer[n - 1] = '\0';
}

/* Lets all go that wait at the FIFO, those too that come later. */
static inline void open_gate(const char *gate)
{
    if (open(gate, O_RDWR) < 0)
        die(gate);
}

/* The number behind a member's name, wherever that stands; -1 without. */
static inline long long number_of(const char *text, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    return at == NULL ? -1 : atoll(at + strlen(key));
}

#endif
