/* log: lines to stderr, one per call. What all ranks would say alike rank 0 says alone; a warning is of what one rank saw. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/* Which rank this process is; 0 until it is said. */
void log_rank(int rank);
/* Rank 0 only. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Any rank; one other than 0 is named. Where several ranks see the same thing one of them calls it. */
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
