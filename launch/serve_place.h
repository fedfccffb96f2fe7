/* serve_place: where a server listens, and who may ask it: an address with a port, and a token. Without a token only this machine may ask. */
#ifndef LAUNCH_SERVE_PLACE_H
#define LAUNCH_SERVE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

enum { SERVE_TOKEN_SIZE = 257, SERVE_TOKEN_LEAST = 16 };

struct serve_place {
    int socket;                     /* bound, not listening yet: the port is ours, and who asks early is refused */
    bool has_token;
    char token[SERVE_TOKEN_SIZE];   /* 0 to its end */
    char name[80];                  /* "127.0.0.1:8080" */
};

/* port: decimal, 0 for a free one. address: IPv4 or IPv6 in digits; NULL: 127.0.0.1, or with a token all of IPv4. token_file: its only line is the token, 16 to 256 printable
 * characters without space; NULL: none. USAGE for what cannot be meant, FAILED when the file cannot be read or the port is taken. Close it also after a failure. */
int serve_place_open(const char *port, const char *address, const char *token_file, struct serve_place *out);
int serve_place_listen(struct serve_place *place);
/* Closes the socket unless it was handed on (-1). */
void serve_place_close(struct serve_place *place);

/* header: the value of Authorization, or NULL. True for "Bearer TOKEN". The time does not depend on how much of the token is right. */
bool serve_place_admits(const struct serve_place *place, const char *header);

#endif
