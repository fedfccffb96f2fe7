/* child: acts that end the program, in a process of their own, and what it said. Included behind cmocka.h. */
#ifndef TESTS_EMULATE_CHILD_H
#define TESTS_EMULATE_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void act(const void *context);

/* Runs the act in a child; what it said on stderr is kept. Returns whether it came to its end. */
static inline bool survives(act *run, const void *context, char *said, size_t n_said)
{
    int ends[2], status = 0;
    size_t used = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++)         /* cmocka would take these for failed tests */
            signal((int[]){SIGSEGV, SIGBUS, SIGABRT}[i], SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]), close(ends[1]);
        run(context);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; used + 1 < n_said && (n = read(ends[0], said + used, n_said - 1 - used)) > 0;)
        used += (size_t)n;
    said[used] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void assert_dies(act *run, const void *context, const char *words)
{
    char said[1 << 16];
    if (survives(run, context, said, sizeof said))
        fail_msg("this was not caught");
    if (!strstr(said, words))
        fail_msg("caught, but without the words '%s': %.2000s", words, said);
}

static inline void assert_lives(act *run, const void *context)
{
    char said[1 << 16];
    if (!survives(run, context, said, sizeof said))
        fail_msg("%.2000s", said);
}

#endif
