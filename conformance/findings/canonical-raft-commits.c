/* canonical/raft 0.15.0 hands its application an entry that the cluster then replaces, in two ways.
 *
 *     cc -O1 -o commits canonical-raft-commits.c -lraft && ./commits older-term; ./commits unmatched
 *
 * Needs the library only (Debian's libraft-dev). Three servers, each with a raft_io in memory: a message is delivered when
 * this program says so or lost, a write is done at once, and each server has a clock that moves when its timer fires.
 *
 * older-term: a leader commits an entry of an older term because a majority has it (paper, section 5.4.2 and figure 8).
 * unmatched: a follower acknowledges the end of its own log instead of what was compared with the leader's, and the leader
 * commits an entry that nobody else has (paper, figure 2: matchIndex). Exits with 1 if two servers applied different
 * commands at one index. */
#include <raft.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS 3
#define MOST 64

static struct server {
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb tick;
    raft_io_recv_cb receive;
    raft_time clock;
    char applied[MOST]; /* By index. */
} servers[SERVERS + 1];

static struct message { raft_id from; struct raft_message content; } network[MOST];
static unsigned on_the_way;
static struct { struct raft_io_append *request; raft_io_append_cb done; } writes[MOST];
static unsigned unwritten;
static char *addresses[] = {"", "1", "2", "3"};

#define MUST(call) do { int code = (call); if (code) { fprintf(stderr, "%s: %d\n", #call, code); exit(2); } } while (0)

static struct server *of(struct raft_io *io) { return io->impl; }

/* The library owns what it is given, so entries are copied: an array, and one block with their content. */
static struct raft_entry *copy(const struct raft_entry *from, unsigned n) {
    struct raft_entry *to = raft_malloc((n + 1) * sizeof *to);
    char *batch = raft_malloc(n * 256 + 1);
    for (unsigned i = 0; i < n; i++) {
        to[i] = (struct raft_entry){from[i].term, from[i].type, {batch + 256 * i, from[i].buf.len}, batch};
        memcpy(to[i].buf.base, from[i].buf.base, from[i].buf.len);
    }
    return to;
}

/* raft_io: nothing is read back, because nothing restarts. */
static int io_init(struct raft_io *io, raft_id id, const char *a) { (void)io, (void)id, (void)a; return 0; }
static void io_close(struct raft_io *io, raft_io_close_cb done) { done(io); }
static int io_set_term(struct raft_io *io, raft_term term) { (void)io, (void)term; return 0; }
static int io_set_vote(struct raft_io *io, raft_id vote) { (void)io, (void)vote; return 0; }
static int io_truncate(struct raft_io *io, raft_index index) { (void)io, (void)index; return 0; }
static raft_time io_time(struct raft_io *io) { return of(io)->clock; }
static int io_random(struct raft_io *io, int least, int most) { (void)io, (void)most; return least; }

static int io_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot, raft_index *start,
                   struct raft_entry *entries[], size_t *n) {
    (void)io;
    struct raft_configuration all;
    struct raft_entry first = {.term = 1, .type = RAFT_CHANGE};
    raft_configuration_init(&all);
    for (raft_id id = 1; id <= SERVERS; id++) MUST(raft_configuration_add(&all, id, addresses[id], RAFT_VOTER));
    MUST(raft_configuration_encode(&all, &first.buf));
    *term = 1, *vote = 0, *snapshot = NULL, *start = 1, *entries = copy(&first, 1), *n = 1;
    return 0;
}

static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb receive) {
    (void)ms;
    of(io)->tick = tick, of(io)->receive = receive;
    return 0;
}

static int io_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry *e, unsigned n, raft_io_append_cb done) {
    (void)io, (void)e, (void)n;
    writes[unwritten].request = request, writes[unwritten++].done = done;
    return 0;
}

static int io_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *m, raft_io_send_cb done) {
    struct message *sent = &network[on_the_way++];
    *sent = (struct message){of(io)->raft.id, *m};
    if (m->type == RAFT_IO_APPEND_ENTRIES)
        sent->content.append_entries.entries = copy(m->append_entries.entries, m->append_entries.n_entries);
    done(request, 0);
    return 0;
}

/* The application remembers which command it was handed at which index. */
static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *command, void **result) {
    struct server *s = fsm->data;
    raft_index index = s->raft.last_applied + 1;
    s->applied[index] = *(char *)command->base;
    printf("  server %llu applies %c at index %llu, in term %llu\n", s->raft.id, s->applied[index], index, s->raft.current_term);
    *result = NULL;
    return 0;
}

static void answered(struct raft_apply *request, int status, void *result) {
    (void)result;
    printf("  the client that proposed %s is told: %s\n", (char *)request->data, status ? raft_strerror(status) : "done");
}

static void settle(void) {
    for (unsigned i = 0; i < unwritten; i++) writes[i].done(writes[i].request, 0);
    unwritten = 0;
}

static void timer(raft_id id) { /* Of elections; a leader that has heard nobody steps down. */
    servers[id].clock += 1000;
    servers[id].tick(&servers[id].io);
    settle();
}

static void heartbeat(raft_id id) {
    servers[id].clock += 100;
    servers[id].tick(&servers[id].io);
    settle();
}

static void propose(raft_id id, char *command) {
    struct raft_buffer buffer = {raft_calloc(1, 8), 8};
    struct raft_apply *request = raft_calloc(1, sizeof *request);
    strcpy(buffer.base, command);
    request->data = command;
    MUST(raft_apply(&servers[id].raft, request, &buffer, 1, answered));
    settle();
}

/* Delivers the oldest message from one server to another. */
static void deliver(raft_id from, raft_id to) {
    for (unsigned i = 0; i < on_the_way; i++) {
        struct message m = network[i];
        if (m.from != from || m.content.server_id != to) continue;
        memmove(network + i, network + i + 1, (--on_the_way - i) * sizeof m);
        m.content.server_id = from, m.content.server_address = addresses[from];
        servers[to].receive(&servers[to].io, &m.content);
        settle();
        return;
    }
    fprintf(stderr, "nothing is on its way from %llu to %llu\n", from, to), exit(2);
}

static void exchange(raft_id from, raft_id to) { deliver(from, to), deliver(to, from); }
static void lose_the_rest(void) { on_the_way = 0; }

static void lose(raft_id from) {
    unsigned kept = 0;
    for (unsigned i = 0; i < on_the_way; i++)
        if (network[i].from != from) network[kept++] = network[i];
    on_the_way = kept;
}

/* Lets a server campaign until its term is this one, and gives it a vote. */
static void elect(raft_id id, raft_id voter, raft_term term) {
    while (servers[id].raft.current_term < term) lose_the_rest(), timer(id);
    deliver(id, voter), lose(id), deliver(voter, id);
    printf("server %llu leads term %llu by the vote of server %llu\n", id, servers[id].raft.current_term, voter);
    if (raft_state(&servers[id].raft) != RAFT_LEADER) exit(2);
}

static void older_term(void) {
    elect(1, 2, 2), lose_the_rest();
    propose(1, "A"), lose_the_rest(); /* Nobody else gets it. */
    elect(2, 3, 3), lose_the_rest();
    propose(2, "B"), lose_the_rest(); /* Nor this one, at the same index. */
    elect(1, 3, 4);
    exchange(1, 3), heartbeat(1), exchange(1, 3); /* Server 3 refuses, and then takes A: two of three have it. */
    timer(3); /* It has heard nobody, and grants no vote before that. */
    elect(2, 3, 6); /* The last entry of server 2 is of a later term than that of server 3. */
    exchange(2, 3), heartbeat(2), exchange(2, 3);
}

static void unmatched(void) {
    elect(1, 2, 2), lose_the_rest();
    propose(1, "A"), lose_the_rest(); /* Nobody else gets it. */
    elect(2, 3, 3); /* Says "nothing after index 1" to server 1, which keeps A and acknowledges index 2. */
    propose(2, "B");
    exchange(2, 1);
    lose_the_rest();
    elect(1, 3, 4);
    propose(1, "C"); /* So that what is committed next is of the leader's term. */
    exchange(1, 3), heartbeat(1), exchange(1, 3);
}

int main(int argc, char **argv) {
    for (raft_id id = 1; id <= SERVERS; id++) {
        struct server *s = &servers[id];
        s->io = (struct raft_io){.version = 1, .impl = s, .init = io_init, .close = io_close, .load = io_load, .start = io_start,
                                 .set_term = io_set_term, .set_vote = io_set_vote, .send = io_send, .append = io_append,
                                 .truncate = io_truncate, .time = io_time, .random = io_random};
        s->fsm = (struct raft_fsm){.version = 1, .data = s, .apply = fsm_apply};
        MUST(raft_init(&s->raft, &s->io, &s->fsm, id, addresses[id]));
        MUST(raft_start(&s->raft));
    }
    if (argc == 2 && strcmp(argv[1], "older-term") == 0) older_term();
    else if (argc == 2 && strcmp(argv[1], "unmatched") == 0) unmatched();
    else return fprintf(stderr, "usage: %s older-term|unmatched\n", argv[0]), 2;
    int wrong = 0;
    for (raft_id a = 1; a <= SERVERS; a++)
        for (raft_id b = 1; b < a; b++)
            for (int index = 1; index < MOST; index++)
                if (servers[a].applied[index] && servers[b].applied[index] && servers[a].applied[index] != servers[b].applied[index])
                    wrong = printf("WRONG: at index %d server %llu applied %c and server %llu applied %c\n", index, b,
                                   servers[b].applied[index], a, servers[a].applied[index]);
    return wrong ? 1 : 0;
}
