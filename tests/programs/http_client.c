/* http_client PORT WHAT ...: the clients of a server on this machine, good and bad, for tests.
 *
 *   ask METHOD PATH [HEADER...]   sends standard input as the body, prints the whole answer
 *   raw                           sends standard input as it is, prints the whole answer
 *   together N IN WANT            N connections that are all open before the first one asks: each sends a line of IN to /score and must get that line of WANT
 *   broken N IN                   N lines of IN with some bytes changed, each to /score: the answers must be JSON with status 200 or 400
 *   garbage N                     N connections that send random bytes, some behind the head of a request
 *   leave N IN                    N connections that ask and go away without reading
 *   hold N SECONDS                N connections that send a part of a request and no more, or drip a few bytes first: all must have been closed by the server in time
 *
 * Ends with 0 when all went as said, 1 when not, with a sentence. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "tests/tools/random_values.h"

enum { MOST_LINES = 1024, LONGEST = 1 << 16 };

static int port;

struct texts { int n; char *text[MOST_LINES]; };

static _Noreturn __attribute__((format(printf, 1, 2))) void end(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "http_client: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    exit(1);
}

static void read_texts(const char *path, struct texts *out)
{
    struct lines *lines;
    const char *text;
    size_t n;
    int64_t number;
    if (lines_open(path, &lines) != OK)
        end("%s", trace_sentence());
    for (out->n = 0; out->n < MOST_LINES && lines_next(lines, &text, &n, &number) == OK && text; out->n++)
        out->text[out->n] = strdup(text);
    lines_close(&lines);
    if (out->n == 0)
        end("%s holds no line", path);
}

static void free_texts(struct texts *t)
{
    while (t->n > 0)
        free(t->text[--t->n]);
}

/* ---- connections ----------------------------------------------------------------------------------------------------------------------------- */

static int open_connection(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {60, 0};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) != 0)
        end("cannot connect to port %d: %s", port, strerror(errno));
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return s;
}

/* False when the server has closed. */
static bool send_all(int s, const char *bytes, size_t n)
{
    for (ssize_t sent; n > 0; bytes += sent, n -= (size_t)sent)
        if ((sent = send(s, bytes, n, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

/* Everything until the server closes. */
static char *read_all(int s)
{
    size_t n = 0, size = LONGEST;
    char *text = malloc(size + 1);
    for (ssize_t got = 1; text && got > 0; n += got > 0 ? (size_t)got : 0) {
        if (n == size)
            text = realloc(text, (size *= 2) + 1);
        got = text ? recv(s, text + n, size - n, 0) : 0;
        if (got < 0 && errno != ECONNRESET)
            end("no answer within 60 s: %s", strerror(errno));
    }
    if (!text)
        end("out of memory");
    text[n] = 0;
    return text;
}

static void send_request(int s, const char *method, const char *path, const char *headers, const char *body, size_t n)
{
    char head[4096];
    int length = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", method, path, headers, n);
    if (length >= (int)sizeof head)
        end("the headers are too long");
    if (send_all(s, head, (size_t)length))
        send_all(s, body, n);               /* what is refused by its headers is not read: the answer says so */
}

static void ask_score(int s, const char *line) { send_request(s, "POST", "/score", "", line, strlen(line)); }

static int status_of(const char *answer) { return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0; }

static const char *body_of(const char *answer)
{
    const char *blank = strstr(answer, "\r\n\r\n");
    return blank ? blank + 4 : "";
}

/* ---- good clients ---------------------------------------------------------------------------------------------------------------------------- */

static char *read_input(size_t *n)
{
    size_t size = LONGEST, got;
    char *text = malloc(size);
    for (*n = 0; text && (got = fread(text + *n, 1, size - *n, stdin)) > 0;)
        if ((*n += got) == size)
            text = realloc(text, size *= 2);
    if (!text)
        end("out of memory");
    return text;
}

static void show_answer(int s)
{
    char *answer = read_all(s);
    puts(answer);
    free(answer);
    close(s);
}

static void ask(const char *method, const char *path, int n_headers, char **header)
{
    char headers[2048] = "";
    size_t n, used = 0;
    for (int i = 0; i < n_headers && used < sizeof headers; i++)
        used += (size_t)snprintf(headers + used, sizeof headers - used, "%s\r\n", header[i]);
    char *body = read_input(&n);
    int s = open_connection();
    send_request(s, method, path, headers, body, n);
    free(body);
    show_answer(s);
}

static void raw(void)
{
    size_t n;
    char *bytes = read_input(&n);
    int s = open_connection();
    send_all(s, bytes, n);
    free(bytes);
    show_answer(s);
}

static void together(int n, const char *in, const char *want_path)
{
    struct texts line, want;
    int s[MOST_LINES];
    read_texts(in, &line);
    read_texts(want_path, &want);
    if (n > MOST_LINES || line.n != want.n)
        end("%d connections, %d lines, %d wanted", n, line.n, want.n);
    for (int i = 0; i < n; i++)
        s[i] = open_connection();
    for (int i = 0; i < n; i++)
        ask_score(s[i], line.text[i % line.n]);
    for (int i = 0; i < n; i++) {
        char *answer = read_all(s[i]);
        if (status_of(answer) != 200 || strcmp(body_of(answer), want.text[i % want.n]) != 0)
            end("connection %d got\n%s\nand not\n%s", i, answer, want.text[i % want.n]);
        free(answer);
        close(s[i]);
    }
    free_texts(&line);
    free_texts(&want);
}

/* ---- bad clients ----------------------------------------------------------------------------------------------------------------------------- */

/* Bytes changed, a part repeated, or cut off. */
static size_t damage(struct random *random, char *text, size_t n)
{
    for (int64_t left = random_int(random, 1, 6); left > 0; left--)
        text[random_int(random, 0, (int64_t)n - 1)] = (char)random_int(random, 0, 255);
    return random_int(random, 0, 3) > 0 ? n : (size_t)random_int(random, 0, (int64_t)n);
}

static void check_is_json(const char *answer)
{
    json_t *json;
    int status = status_of(answer);
    if ((status != 200 && status != 400) || json_parse(body_of(answer), strlen(body_of(answer)), "the answer", &json) != OK)
        end("a broken line got\n%s", answer);
    json_decref(json);
}

static void broken(int n, const char *in)
{
    struct texts line;
    struct random random = {7};
    read_texts(in, &line);
    for (int i = 0; i < n; i++) {
        char *text = strdup(line.text[i % line.n]), *answer;
        size_t length = damage(&random, text, strlen(text));
        int s = open_connection();
        send_request(s, "POST", "/score", "", text, length);
        check_is_json(answer = read_all(s));
        free(answer);
        free(text);
        close(s);
    }
    free_texts(&line);
}

static void garbage(int n)
{
    struct random random = {11};
    static char bytes[LONGEST];
    for (int i = 0; i < n; i++) {
        int s = open_connection();
        int64_t length = random_int(&random, 0, i % 4 == 0 ? LONGEST - 1 : 600);
        for (int64_t k = 0; k < length; k++)
            bytes[k] = (char)random_int(&random, 0, 255);
        if (i % 2 == 0)
            send_request(s, i % 3 == 0 ? "POST" : "GET", "/score", i % 8 == 0 ? "Transfer-Encoding: chunked\r\n" : "", bytes, (size_t)length);
        else
            send_all(s, bytes, (size_t)length);
        shutdown(s, SHUT_WR);
        free(read_all(s));
        close(s);
    }
}

static void leave(int n, const char *in)
{
    struct texts line;
    read_texts(in, &line);
    for (int i = 0; i < n; i++) {
        int s = open_connection();
        ask_score(s, line.text[i % line.n]);
        close(s);
    }
    free_texts(&line);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool is_closed(int s)
{
    char bytes[4096];
    ssize_t n = recv(s, bytes, sizeof bytes, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Every fifth connection drips three bytes: one that went on would be ended by the limit of a body's time, which is longer than a test may take. */
static void hold(int n, double seconds)
{
    static const char *const part[] = {"", "POST /sco", "POST /score HTTP/1.1\r\nHost: te", "POST /score HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{\"prompt\": \"",
                                       "POST /score HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n"};
    int s[MOST_LINES], left = n;
    double began_s = now_s();
    for (int i = 0; i < n; i++) {
        s[i] = open_connection();
        send_all(s[i], part[i % 5], strlen(part[i % 5]));
    }
    for (int second = 0; left > 0 && now_s() - began_s < seconds; second++) {
        for (int i = 0; i < n; i++) {
            if (s[i] >= 0 && is_closed(s[i])) {
                close(s[i]);
                s[i] = -1;
                left--;
            } else if (s[i] >= 0 && i % 5 == 4 && second < 3) {
                send_all(s[i], " ", 1);
            }
        }
        poll(NULL, 0, 1000);
    }
    if (left > 0)
        end("%d of %d held connections are still open after %.0f s", left, n, seconds);
    printf("all closed after %.0f s\n", now_s() - began_s);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[2] : "";
    port = argc > 1 ? atoi(argv[1]) : 0;
    if (strcmp(what, "ask") == 0 && argc >= 5)
        ask(argv[3], argv[4], argc - 5, argv + 5);
    else if (strcmp(what, "raw") == 0 && argc == 3)
        raw();
    else if (strcmp(what, "together") == 0 && argc == 6)
        together(atoi(argv[3]), argv[4], argv[5]);
    else if (strcmp(what, "broken") == 0 && argc == 5)
        broken(atoi(argv[3]), argv[4]);
    else if (strcmp(what, "garbage") == 0 && argc == 4)
        garbage(atoi(argv[3]));
    else if (strcmp(what, "leave") == 0 && argc == 5)
        leave(atoi(argv[3]), argv[4]);
    else if (strcmp(what, "hold") == 0 && argc == 5)
        hold(atoi(argv[3]), atof(argv[4]));
    else
        return fprintf(stderr, "http_client PORT ask METHOD PATH [HEADER...] | raw | together N IN WANT | broken N IN | garbage N | leave N IN | hold N SECONDS\n"), 2;
    return 0;
}
