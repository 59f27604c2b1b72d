/*
 * The smallest keep-alive upstream: for every request head that ends in a read it writes the same answer.
 * It parses nothing, so it must only be used with requests without a body whose heads arrive whole.
 *
 * With `close` every answer says so and ends its connection, for loads with one request a connection.
 *
 *   upstream PORT BODY_BYTES [close]
 */
#define _GNU_SOURCE
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 256, READ_BYTES = 64 * 1024, HEAD_BYTES_MAX = 256, SOCKETS_MAX = 70000 };

/* What is left of a body that the socket did not take at once: offset into the answer, 0 when nothing is. */
static size_t unsent_from[SOCKETS_MAX];
static unsigned owed[SOCKETS_MAX];

static char *answer;
static size_t answer_bytes;
static int closes;

static void make_answer(size_t body_bytes)
{
    answer = malloc(HEAD_BYTES_MAX + body_bytes);
    if (!answer)
        die("malloc");
    int head = snprintf(answer, HEAD_BYTES_MAX,
                        "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n%s\r\n",
                        body_bytes, closes ? "Connection: close\r\n" : "");
    memset(answer + head, 'x', body_bytes);
    answer_bytes = (size_t)head + body_bytes;
}

static unsigned heads_in(const char *bytes, size_t count)
{
    static const char end[] = "\r\n\r\n";
    unsigned heads = 0;
    const char *at = bytes, *stop = bytes + count;
    while ((at = memmem(at, (size_t)(stop - at), end, sizeof end - 1))) {
        at += sizeof end - 1;
        heads++;
    }
    return heads;
}

/* Writes owed answers until the socket is full; returns 0 when the connection is over. */
static int pay(int epoll, int socket)
{
    int was_blocked = unsent_from[socket] > 0;
    while (owed[socket]) {
        ssize_t sent = write(socket, answer + unsent_from[socket], answer_bytes - unsent_from[socket]);
        if (sent < 0) {
            if (errno != EAGAIN)
                return 0;
            if (!was_blocked)
                watch(epoll, EPOLL_CTL_MOD, socket, EPOLLIN | EPOLLOUT);
            /* A full socket with nothing of this answer sent still has to be told from an idle one by `owed`. */
            return 1;
        }
        unsent_from[socket] += (size_t)sent;
        if (unsent_from[socket] == answer_bytes) {
            unsent_from[socket] = 0;
            owed[socket]--;
            if (closes)
                return 0;
        }
    }
    return 1;
}

int main(int count, char **words)
{
    closes = count == 4 && !strcmp(words[3], "close");
    if (count != 3 && !closes) {
        fprintf(stderr, "usage: %s PORT BODY_BYTES [close]\n", words[0]);
        return 2;
    }
    make_answer((size_t)atol(words[2]));
    int listener = listen_on(atoi(words[1]));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);

    static char bytes[READ_BYTES];
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int socket = events[i].data.fd;
            if (socket == listener) {
                while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (socket >= SOCKETS_MAX) {
                        close(socket);
                        continue;
                    }
                    no_delay(socket);
                    unsent_from[socket] = owed[socket] = 0;
                    watch(epoll, EPOLL_CTL_ADD, socket, EPOLLIN);
                }
                continue;
            }
            if (events[i].events & EPOLLOUT) {
                if (!pay(epoll, socket)) {
                    close(socket);
                    continue;
                }
                if (!owed[socket])
                    watch(epoll, EPOLL_CTL_MOD, socket, EPOLLIN);
            }
            if (!(events[i].events & ~EPOLLOUT))
                continue;
            ssize_t got = read(socket, bytes, sizeof bytes);
            if (got < 0 && errno == EAGAIN)
                continue;
            if (got <= 0) {
                close(socket);
                continue;
            }
            unsigned heads = heads_in(bytes, (size_t)got);
            int blocked = owed[socket] > 0;
            owed[socket] += heads;
            if (!blocked && !pay(epoll, socket))
                close(socket);
        }
    }
}
