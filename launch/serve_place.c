/* serve_place: see serve_place.h. */
#include "launch/serve_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

enum { BACKLOG = 512 };

union address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; };

/* ---- the token ------------------------------------------------------------------------------------------------------------------------------- */

static int check_token(const char *text, size_t n, const char *path)
{
    CHECK_USAGE(n >= SERVE_TOKEN_LEAST && n < SERVE_TOKEN_SIZE, "%s: a token has %d to %d characters, this one %zu: openssl rand -hex 32 makes one", path, SERVE_TOKEN_LEAST,
                SERVE_TOKEN_SIZE - 1, n);
    for (size_t i = 0; i < n; i++)
        CHECK_USAGE(text[i] > ' ' && text[i] < 127, "%s: character %zu of the token is not a printable one of ASCII", path, i + 1);
    return OK;
}

static int read_token(const char *path, struct serve_place *out)
{
    char *text;
    size_t n;
    TRY(file_read(path, &text, &n));
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    int status = check_token(text, n, path);
    if (status == OK)
        memcpy(out->token, text, n);
    out->has_token = status == OK;
    free(text);
    return status;
}

bool serve_place_admits(const struct serve_place *place, const char *header)
{
    char given[SERVE_TOKEN_SIZE] = {0};
    if (!place->has_token)
        return true;
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    size_t n = strlen(header + 7);
    memcpy(given, header + 7, n < SERVE_TOKEN_SIZE ? n : SERVE_TOKEN_SIZE);
    volatile unsigned char difference = n >= SERVE_TOKEN_SIZE;
    for (int i = 0; i < SERVE_TOKEN_SIZE; i++)
        difference = (unsigned char)(difference | (place->token[i] ^ given[i]));
    return difference == 0;
}

/* ---- the address ----------------------------------------------------------------------------------------------------------------------------- */

static int parse_port(const char *text, in_port_t *out)
{
    size_t digits = strspn(text, "0123456789");
    long port = digits > 0 && digits < 6 && !text[digits] ? strtol(text, NULL, 10) : -1;
    CHECK_USAGE(port >= 0 && port <= 65535, "--serve takes a port, 0 to 65535 (0: a free one), not '%.64s'", text);
    *out = htons((in_port_t)port);
    return OK;
}

static int parse_address(const char *text, in_port_t port, union address *out, socklen_t *size)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = port;
        *size = sizeof out->v4;
        return OK;
    }
    CHECK_USAGE(inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1, "--listen takes an address in digits, such as 127.0.0.1, 0.0.0.0 or ::, not '%.64s'", text);
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = port;
    *size = sizeof out->v6;
    return OK;
}

static bool is_loopback(const union address *a)
{
    return a->any.sa_family == AF_INET ? ntohl(a->v4.sin_addr.s_addr) >> 24 == 127 : IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static int bind_socket(const union address *address, socklen_t size, const char *text, const char *port, struct serve_place *out)
{
    int on = 1;
    out->socket = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool bound = out->socket >= 0 && setsockopt(out->socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(out->socket, &address->any, size) == 0;
    CHECK(bound, "cannot listen on %s, port %s: %s", text, port, strerror(errno));
    return OK;
}

int serve_place_open(const char *port, const char *address, const char *token_file, struct serve_place *out)
{
    union address a;
    socklen_t size;
    in_port_t number;
    const char *text = address ? address : token_file ? "0.0.0.0" : "127.0.0.1";
    *out = (struct serve_place){.socket = -1};
    TRY(parse_port(port, &number));
    TRY(parse_address(text, number, &a, &size));
    if (token_file)
        TRY(read_token(token_file, out));
    CHECK_USAGE(out->has_token || is_loopback(&a), "without a token only this machine may ask: to listen on %s give --token-file too", text);
    return bind_socket(&a, size, text, port, out);
}

int serve_place_listen(struct serve_place *place)
{
    union address a;
    socklen_t size = sizeof a;
    char text[INET6_ADDRSTRLEN];
    bool listens = listen(place->socket, BACKLOG) == 0 && getsockname(place->socket, &a.any, &size) == 0;
    CHECK(listens, "cannot listen on the port that was asked for: %s", strerror(errno));
    bool v4 = a.any.sa_family == AF_INET;
    const void *digits = v4 ? (const void *)&a.v4.sin_addr : &a.v6.sin6_addr;
    ASSERT(inet_ntop(a.any.sa_family, digits, text, sizeof text));
    snprintf(place->name, sizeof place->name, v4 ? "%s:%d" : "[%s]:%d", text, ntohs(v4 ? a.v4.sin_port : a.v6.sin6_port));
    return OK;
}

void serve_place_close(struct serve_place *place)
{
    if (place->socket >= 0)
        close(place->socket);
    place->socket = -1;
}
