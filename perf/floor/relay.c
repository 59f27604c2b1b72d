/*
 * The floor: one thread, epoll, two sockets a client, bytes read on one side are written to the other, nothing is
 * parsed. What a gateway costs above this is its own work.
 *
 * Writes block: a relay that had to remember what a full socket did not take would no longer be the floor, and on
 * loopback the reader always reads.
 *
 *   relay PORT UPSTREAM_PORT
 */
#define _GNU_SOURCE
#include "net.h"

enum { EVENTS_MAX = 256, READ_BYTES = 64 * 1024, SOCKETS_MAX = 70000 };

static int peer_of[SOCKETS_MAX];

static void accept_all(int epoll, int listener, int upstream_port)
{
    struct sockaddr_in upstream = loopback(upstream_port);
    int client;
    while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (server < 0 || server >= SOCKETS_MAX || client >= SOCKETS_MAX ||
            connect(server, (struct sockaddr *)&upstream, sizeof upstream)) {
            perror("upstream");
            close(client);
            if (server >= 0)
                close(server);
            continue;
        }
        no_delay(client);
        no_delay(server);
        peer_of[client] = server;
        peer_of[server] = client;
        watch(epoll, EPOLL_CTL_ADD, client, EPOLLIN);
        watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN);
    }
}

static void hang_up(int socket)
{
    int peer = peer_of[socket];
    close(socket);
    close(peer);
    peer_of[socket] = peer_of[peer] = -1;
}

static int write_all(int socket, const char *bytes, size_t count)
{
    while (count) {
        ssize_t sent = write(socket, bytes, count);
        if (sent < 0)
            return 0;
        bytes += sent;
        count -= (size_t)sent;
    }
    return 1;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: %s PORT UPSTREAM_PORT\n", words[0]);
        return 2;
    }
    int listener = listen_on(atoi(words[1])), upstream_port = atoi(words[2]);
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
                accept_all(epoll, listener, upstream_port);
                continue;
            }
            if (peer_of[socket] < 0)
                continue; /* its peer hung up within this batch */
            /* Not to wait: the event may be of a socket that was closed and whose number was given again. */
            ssize_t got = recv(socket, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN)
                continue;
            if (got <= 0 || !write_all(peer_of[socket], bytes, (size_t)got))
                hang_up(socket);
        }
    }
}
