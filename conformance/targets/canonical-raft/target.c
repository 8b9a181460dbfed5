/* canonical/raft (the Raft under dqlite; Debian's libraft-dev 0.15.0) behind Lockstep's protocol 2.
 *
 *   cc -O1 -o canonical-raft target.c -lraft
 *
 * The library asks its user for a `raft_io`: disk, network, clock and random numbers. Here the disk is memory, the
 * network a list, the clock stands still, and the random number is the smallest. A timer fires because this program
 * moves its start into the past and ticks. With --persist a write to disk is done when the input `persist` says so (one
 * write each), and a restart loses those that are not; without it, at the end of each input. Give `lockstep check` the
 * option `--input persist=unlimited` then: a `persist` with nothing to write would use up any other bound.
 *
 * All memory of a question comes from one arena, which is forgotten afterwards: nothing is ever freed. */
#include <inttypes.h>
#include <raft.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SERVERS 5
#define MOST_ENTRIES 64
#define MOST_WRITES 64
#define MOST_SENDS 256
#define CAUSE 512
#define NOW 1000000
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100

static void give_up(const char *why) {
    fprintf(stderr, "canonical-raft target: %s\n", why);
    exit(1);
}

/* Memory */

static struct { char *base; size_t used, size; } arena;

static void *take_memory(void *data, size_t size) {
    (void)data;
    size_t whole = (size + 15) / 16 * 16 + 16;
    if (arena.used + whole > arena.size) give_up("a question needs too much memory");
    char *at = arena.base + arena.used;
    arena.used += whole;
    *(size_t *)at = size;
    return memset(at + 16, 0, size);
}

static void forget_memory(void *data, void *pointer) { (void)data; (void)pointer; }

static void *take_zeroed(void *data, size_t count, size_t size) { return take_memory(data, count * size); }

static void *retake_memory(void *data, void *pointer, size_t size) {
    void *fresh = take_memory(data, size);
    if (pointer != NULL) {
        size_t old = *(size_t *)((char *)pointer - 16);
        memcpy(fresh, pointer, old < size ? old : size);
    }
    return fresh;
}

static void *take_aligned(void *data, size_t alignment, size_t size) {
    uintptr_t at = (uintptr_t)take_memory(data, size + alignment);
    return (void *)((at + alignment - 1) / alignment * alignment);
}

static void forget_aligned(void *data, size_t alignment, void *pointer) { (void)data; (void)alignment; (void)pointer; }

static struct raft_heap heap = {NULL, take_memory, forget_memory, take_zeroed, retake_memory, take_aligned, forget_aligned};

/* A server, its disk, and what it has on the way */

struct entry { raft_term term; unsigned short type; size_t length; unsigned char bytes[256]; };

struct write {
    struct raft_io_append *request;
    raft_io_append_cb done;
    unsigned count;
    struct entry entries[MOST_ENTRIES];
    raft_index truncate;
    /* What the library may look at when the write is done is private to it; it follows from these. */
    raft_term term;
    unsigned behind; /* The length of the log. */
    char cause[CAUSE];
};

static struct {
    int id, servers, persist;
    bool pre_vote;
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb tick;
    raft_io_recv_cb receive;
    raft_term term; /* On disk. */
    raft_id vote;
    unsigned length;
    struct entry log[MOST_ENTRIES];
    unsigned writes; /* On their way to disk, the oldest first. */
    struct write pending[MOST_WRITES];
    unsigned sends;
    struct { struct raft_io_send *request; raft_io_send_cb done; } sending[MOST_SENDS];
    char sent[1 << 18];
    char cause[CAUSE]; /* The input that is being handled. */
} s;

static char *address_of(raft_id id) {
    static char addresses[MOST_SERVERS + 1][2];
    addresses[id][0] = (char)('0' + id);
    return addresses[id];
}

static struct entry copied(const struct raft_entry *from) {
    struct entry to = {from->term, from->type, from->buf.len, {0}};
    if (to.length > sizeof to.bytes) give_up("an entry is too long");
    memcpy(to.bytes, from->buf.base, to.length);
    return to;
}

/* Entries as the library takes them over: an array, and one block with all their content. */
static struct raft_entry *for_library(const struct entry *from, unsigned count) {
    if (count == 0) return NULL;
    size_t whole = 0;
    for (unsigned i = 0; i < count; i++) whole += (from[i].length + 7) / 8 * 8;
    struct raft_entry *to = raft_malloc(count * sizeof *to);
    char *batch = raft_malloc(whole + 1), *at = batch;
    for (unsigned i = 0; i < count; i++) {
        to[i] = (struct raft_entry){from[i].term, from[i].type, {at, from[i].length}, batch};
        memcpy(at, from[i].bytes, from[i].length);
        at += (from[i].length + 7) / 8 * 8;
    }
    return to;
}

static void print_entry(char **out, const struct entry *entry) {
    *out += sprintf(*out, " %llu:%u:", entry->term, entry->type);
    for (size_t i = 0; i < entry->length; i++) *out += sprintf(*out, "%02x", entry->bytes[i]);
}

/* raft_io */

static int io_init(struct raft_io *io, raft_id id, const char *address) { (void)io; (void)id; (void)address; return 0; }
static void io_close(struct raft_io *io, raft_io_close_cb done) { if (done) done(io); }

static int io_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
                   raft_index *start, struct raft_entry *entries[], size_t *count) {
    (void)io;
    *term = s.term, *vote = s.vote, *snapshot = NULL, *start = 1;
    *entries = for_library(s.log, s.length), *count = s.length;
    return 0;
}

static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb receive) {
    (void)io; (void)ms;
    s.tick = tick, s.receive = receive;
    return 0;
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *c) { (void)io; (void)c; return RAFT_IOERR; }
static int io_set_term(struct raft_io *io, raft_term term) { (void)io; s.term = term, s.vote = 0; return 0; }
static int io_set_vote(struct raft_io *io, raft_id vote) { (void)io; s.vote = vote; return 0; }

static int io_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *m, raft_io_send_cb done) {
    (void)io;
    char *out = s.sent + strlen(s.sent);
    if (s.sends == MOST_SENDS || out - s.sent > (long)sizeof s.sent - (1 << 17)) give_up("too many messages at once");
    out += sprintf(out, "%s{\"to\":%llu,\"message\":\"", s.sends ? "," : "", m->server_id);
    switch (m->type) {
        case RAFT_IO_REQUEST_VOTE:
            out += sprintf(out, "RequestVote %llu %llu %llu %llu %d %d", m->request_vote.term, m->request_vote.candidate_id,
                           m->request_vote.last_log_index, m->request_vote.last_log_term,
                           m->request_vote.disrupt_leader, m->request_vote.pre_vote);
            break;
        case RAFT_IO_REQUEST_VOTE_RESULT:
            out += sprintf(out, "RequestVoteResult %llu %d %d", m->request_vote_result.term,
                           m->request_vote_result.vote_granted, m->request_vote_result.pre_vote);
            break;
        case RAFT_IO_APPEND_ENTRIES:
            out += sprintf(out, "AppendEntries %llu %llu %llu %llu %u", m->append_entries.term,
                           m->append_entries.prev_log_index, m->append_entries.prev_log_term,
                           m->append_entries.leader_commit, m->append_entries.n_entries);
            for (unsigned i = 0; i < m->append_entries.n_entries; i++) {
                struct entry entry = copied(&m->append_entries.entries[i]);
                print_entry(&out, &entry);
            }
            break;
        case RAFT_IO_APPEND_ENTRIES_RESULT:
            out += sprintf(out, "AppendEntriesResult %llu %llu %llu", m->append_entries_result.term,
                           m->append_entries_result.rejected, m->append_entries_result.last_log_index);
            break;
        default: give_up("a message of a kind that these bounds do not have");
    }
    strcpy(out, "\"}");
    s.sending[s.sends].request = request, s.sending[s.sends++].done = done;
    return 0;
}

static int io_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[], unsigned n,
                     raft_io_append_cb done) {
    (void)io;
    if (s.writes == MOST_WRITES || n > MOST_ENTRIES) give_up("too many writes");
    struct write *write = &s.pending[s.writes++];
    *write = (struct write){.request = request, .done = done, .count = n, .term = s.raft.current_term,
                            .behind = (unsigned)raft_last_index(&s.raft)};
    strcpy(write->cause, s.cause);
    for (unsigned i = 0; i < n; i++) write->entries[i] = copied(&entries[i]);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index) {
    (void)io;
    if (s.writes == MOST_WRITES) give_up("too many writes");
    s.pending[s.writes++] = (struct write){.truncate = index};
    return 0;
}

static int io_put(struct raft_io *io, unsigned t, struct raft_io_snapshot_put *r, const struct raft_snapshot *x,
                  raft_io_snapshot_put_cb done) { (void)io; (void)t; (void)r; (void)x; (void)done; return RAFT_IOERR; }
static int io_get(struct raft_io *io, struct raft_io_snapshot_get *r, raft_io_snapshot_get_cb done) {
    (void)io; (void)r; (void)done; return RAFT_IOERR; }
static raft_time io_time(struct raft_io *io) { (void)io; return NOW; }
static int io_random(struct raft_io *io, int least, int most) { (void)io; (void)most; return least; }

/* raft_fsm: the application keeps nothing, so it can be asked for nothing. */
static int fsm_apply(struct raft_fsm *f, const struct raft_buffer *b, void **result) { (void)f; (void)b; *result = NULL; return 0; }
static int fsm_snapshot(struct raft_fsm *f, struct raft_buffer *b[], unsigned *n) { (void)f; (void)b; (void)n; return RAFT_IOERR; }
static int fsm_restore(struct raft_fsm *f, struct raft_buffer *b) { (void)f; (void)b; return RAFT_IOERR; }

static void applied(struct raft_apply *request, int status, void *result) { (void)request; (void)status; (void)result; }

static void start(void) {
    memset(&s.raft, 0, sizeof s.raft), memset(&s.io, 0, sizeof s.io), memset(&s.fsm, 0, sizeof s.fsm);
    s.writes = s.sends = 0;
    s.io.version = 1;
    s.io.init = io_init, s.io.close = io_close, s.io.load = io_load, s.io.start = io_start;
    s.io.bootstrap = s.io.recover = io_bootstrap;
    s.io.set_term = io_set_term, s.io.set_vote = io_set_vote, s.io.send = io_send, s.io.append = io_append;
    s.io.truncate = io_truncate, s.io.snapshot_put = io_put, s.io.snapshot_get = io_get;
    s.io.time = io_time, s.io.random = io_random;
    s.fsm.version = 1, s.fsm.apply = fsm_apply, s.fsm.snapshot = fsm_snapshot, s.fsm.restore = fsm_restore;
    if (raft_init(&s.raft, &s.io, &s.fsm, (raft_id)s.id, address_of((raft_id)s.id))) give_up("raft_init");
    raft_set_election_timeout(&s.raft, ELECTION_MS), raft_set_heartbeat_timeout(&s.raft, HEARTBEAT_MS);
    raft_set_pre_vote(&s.raft, s.pre_vote);
    if (raft_start(&s.raft)) give_up(raft_errmsg(&s.raft));
}

/* The disk of a server that was bootstrapped: entry 1 is the configuration, as raft_uv's bootstrap leaves it. */
static void bootstrap(void) {
    struct raft_configuration c;
    struct raft_buffer buffer;
    raft_configuration_init(&c);
    for (int id = 1; id <= s.servers; id++) raft_configuration_add(&c, (raft_id)id, address_of((raft_id)id), RAFT_VOTER);
    if (raft_configuration_encode(&c, &buffer)) give_up("the configuration cannot be encoded");
    struct raft_entry first = {1, RAFT_CHANGE, buffer, NULL};
    s.term = 1, s.vote = 0, s.length = 1, s.log[0] = copied(&first);
}

/* Does the oldest write, and the truncations behind it; whether there was one. */
static bool write_one(void) {
    if (s.writes == 0) return false;
    struct write write = s.pending[0];
    memmove(s.pending, s.pending + 1, --s.writes * sizeof write);
    if (write.truncate) {
        if (write.truncate <= s.length) s.length = (unsigned)write.truncate - 1;
        return true;
    }
    if (s.length + write.count > MOST_ENTRIES) give_up("the log is too long");
    memcpy(s.log + s.length, write.entries, write.count * sizeof *write.entries);
    s.length += write.count;
    write.done(write.request, 0);
    return true;
}

static void settle(void) {
    unsigned told = 0;
    do {
        for (; told < s.sends; told++) s.sending[told].done(s.sending[told].request, 0);
        while (s.writes && s.pending[0].truncate) write_one();
    } while (told < s.sends || (!s.persist && write_one()));
}

/* Inputs */

static void deliver(raft_id from, const char *text) {
    struct raft_message m;
    memset(&m, 0, sizeof m);
    m.server_id = from, m.server_address = address_of(from);
    int a, b;
    unsigned n;
    int at = 0;
    unsigned long long t, u, v, w;
    if (sscanf(text, "RequestVote %llu %llu %llu %llu %d %d", &t, &u, &v, &w, &a, &b) == 6) {
        m.type = RAFT_IO_REQUEST_VOTE;
        m.request_vote = (struct raft_request_vote){t, u, v, w, a, b};
    } else if (sscanf(text, "RequestVoteResult %llu %d %d", &t, &a, &b) == 3) {
        m.type = RAFT_IO_REQUEST_VOTE_RESULT;
        m.request_vote_result = (struct raft_request_vote_result){t, a, (raft_tribool)b};
    } else if (sscanf(text, "AppendEntriesResult %llu %llu %llu", &t, &u, &v) == 3) {
        m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        m.append_entries_result = (struct raft_append_entries_result){t, u, v};
    } else if (sscanf(text, "AppendEntries %llu %llu %llu %llu %u%n", &t, &u, &v, &w, &n, &at) == 5) {
        struct entry entries[MOST_ENTRIES];
        if (n > MOST_ENTRIES) give_up("too many entries in a message");
        for (unsigned i = 0; i < n; i++) {
            int more = 0;
            entries[i] = (struct entry){0};
            if (sscanf(text + at, " %llu:%hu:%n", &entries[i].term, &entries[i].type, &more) != 2) give_up("a bad entry");
            at += more;
            unsigned byte;
            while (sscanf(text + at, "%2x", &byte) == 1 && text[at] != ' ') {
                entries[i].bytes[entries[i].length++] = (unsigned char)byte;
                at += 2;
            }
        }
        m.type = RAFT_IO_APPEND_ENTRIES;
        m.append_entries = (struct raft_append_entries){t, u, v, w, for_library(entries, n), n};
    } else give_up("a message of no known form");
    s.receive(&s.io, &m);
}

static void propose(uint64_t value) {
    struct raft_buffer buffer = {raft_malloc(sizeof value), sizeof value};
    memcpy(buffer.base, &value, sizeof value);
    struct raft_apply *request = raft_calloc(1, sizeof *request);
    /* What is refused changes nothing. */
    (void)raft_apply(&s.raft, request, &buffer, 1, applied);
}

static void take(const char *input) {
    s.sends = 0, s.sent[0] = 0;
    if (strlen(input) >= CAUSE) give_up("an input is too long");
    strcpy(s.cause, input);
    unsigned long long number;
    if (strncmp(input, "\"restart\"", 9) == 0) {
        start();
    } else if (strncmp(input, "\"timeout\"", 9) == 0) {
        s.raft.election_timer_start = NOW - 2 * ELECTION_MS;
        s.tick(&s.io);
    } else if (strncmp(input, "\"check_quorum\"", 14) == 0) {
        s.raft.election_timer_start = NOW - ELECTION_MS;
        s.tick(&s.io);
    } else if (strncmp(input, "\"heartbeat\"", 11) == 0) {
        for (unsigned i = 0; i < s.raft.configuration.n && s.raft.state == RAFT_LEADER; i++)
            s.raft.leader_state.progress[i].last_send = NOW - HEARTBEAT_MS;
        s.tick(&s.io);
    } else if (strncmp(input, "\"persist\"", 9) == 0) {
        write_one();
    } else if (sscanf(input, "{\"propose\":%llu", &number) == 1) {
        propose(number);
    } else if (sscanf(input, "{\"deliver\":{\"from\":%llu", &number) == 1) {
        deliver((raft_id)number, strstr(input, "\"message\":\"") + 11);
    } else give_up("an input of no known form");
    settle();
    s.raft.election_timer_start = NOW;
    for (unsigned i = 0; i < s.raft.configuration.n && s.raft.state == RAFT_LEADER; i++)
        s.raft.leader_state.progress[i].last_send = NOW;
}

/* Answers */

static void show_log(char **out, const struct entry *log, unsigned length) {
    *out += sprintf(*out, "[");
    for (unsigned i = 0; i < length; i++) {
        uint64_t value = 0;
        memcpy(&value, log[i].bytes, log[i].length < 8 ? log[i].length : 8);
        *out += sprintf(*out, "%s[%llu,", i ? "," : "", log[i].term);
        if (log[i].type == RAFT_COMMAND) *out += sprintf(*out, "%" PRIu64 "]", value);
        else *out += sprintf(*out, "\"%s\"]", log[i].type == RAFT_CHANGE ? "configuration" : "barrier");
    }
    *out += sprintf(*out, "]");
}

static unsigned log_of(struct entry *to) {
    const struct raft_log *log = &s.raft.log;
    unsigned length = 0;
    if (log->size == 0) return 0;
    for (size_t at = log->front; at != log->back; at = (at + 1) % log->size) to[length++] = copied(&log->entries[at]);
    return length;
}

static void show_id(char **out, const char *key, raft_id id) {
    if (id) *out += sprintf(*out, ",\"%s\":%llu", key, id);
    else *out += sprintf(*out, ",\"%s\":null", key);
}

static void show_view(char **out) {
    const struct raft *r = &s.raft;
    static const char *roles[] = {"follower", "follower", "candidate", "leader"};
    struct entry log[MOST_ENTRIES];
    const char *role = r->state == RAFT_CANDIDATE && r->candidate_state.in_pre_vote ? "pre_candidate" : roles[r->state];
    *out += sprintf(*out, "{\"role\":\"%s\",\"term\":%llu,\"commit\":%llu,\"applied\":%llu", role, r->current_term,
                    r->commit_index, r->last_applied);
    show_id(out, "vote", r->voted_for);
    *out += sprintf(*out, ",\"log\":");
    show_log(out, log, log_of(log));
    *out += sprintf(*out, ",\"durable\":{\"term\":%llu", s.term);
    show_id(out, "vote", s.vote);
    *out += sprintf(*out, ",\"log\":");
    show_log(out, s.log, s.length);
    *out += sprintf(*out, "}");
    if (r->state == RAFT_LEADER) {
        *out += sprintf(*out, ",\"match\":{");
        int shown = 0;
        for (unsigned i = 0; i < r->configuration.n; i++)
            if (r->configuration.servers[i].id != r->id)
                *out += sprintf(*out, "%s\"%llu\":%llu", shown++ ? "," : "", r->configuration.servers[i].id,
                                r->leader_state.progress[i].match_index);
        *out += sprintf(*out, "}");
    }
    *out += sprintf(*out, "}");
}

/* What the view does not have. */
static void show_rest(char **out) {
    const struct raft *r = &s.raft;
    *out += sprintf(*out, "{\"state\":%u,\"stored\":%llu,\"configuration\":[%llu,%llu]", r->state, r->last_stored,
                    r->configuration_index, r->configuration_uncommitted_index);
    if (r->state == RAFT_FOLLOWER) show_id(out, "leader", r->follower_state.current_leader.id);
    if (r->state == RAFT_CANDIDATE) {
        *out += sprintf(*out, ",\"disrupt\":%d,\"votes\":\"", r->candidate_state.disrupt_leader);
        for (unsigned i = 0; i < r->configuration.n; i++) *out += sprintf(*out, "%d", r->candidate_state.votes[i]);
        *out += sprintf(*out, "\"");
    }
    if (r->state == RAFT_LEADER) {
        *out += sprintf(*out, ",\"progress\":[");
        for (unsigned i = 0; i < r->configuration.n; i++) {
            const struct raft_progress *p = &r->leader_state.progress[i];
            *out += sprintf(*out, "%s[%u,%llu,%llu,%llu,%d]", i ? "," : "", p->state, p->next_index, p->match_index,
                            p->snapshot_index, p->recent_recv);
        }
        *out += sprintf(*out, "]");
    }
    *out += sprintf(*out, ",\"writes\":[");
    for (unsigned i = 0; i < s.writes; i++) {
        const struct write *write = &s.pending[i];
        *out += sprintf(*out, "%s[%llu,", i ? "," : "", write->truncate);
        show_log(out, write->entries, write->count);
        *out += sprintf(*out, ",%llu,%u", write->term, write->behind);
        if (write->count) *out += sprintf(*out, ",%s", write->cause);
        *out += sprintf(*out, "]");
    }
    *out += sprintf(*out, "]}");
}

/* The end of a value that begins here: a text, or an object with everything in it. */
static char *end_of_value(char *at) {
    int depth = 0;
    bool text = false;
    for (; *at; at++) {
        if (text) {
            if (*at == '\\') at++;
            else if (*at == '"') text = false;
        } else if (*at == '"') text = true;
        else if (*at == '{' || *at == '[') depth++;
        else if ((*at == '}' || *at == ']') && --depth < 0) return at;
        else if (*at == ',' && depth == 0) return at;
    }
    give_up("a request without an end");
    return at;
}

static unsigned long long number_after(const char *line, const char *key) {
    const char *at = strstr(line, key);
    if (at == NULL) give_up("a request without a number that it needs");
    return strtoull(at + strlen(key), NULL, 10);
}

static void answer(char *line) {
    static char out[1 << 20];
    char *at = strstr(line, "\"inputs\":[");
    if (at == NULL) give_up("a request without inputs");
    arena.used = 0;
    raft_heap_set(&heap);
    s.servers = (int)number_after(line, "\"servers\":"), s.id = (int)number_after(line, "\"server\":");
    s.pre_vote = strstr(line, "\"pre_vote\":true") != NULL;
    if (s.servers > MOST_SERVERS) give_up("too many servers");
    s.sent[0] = 0;
    bootstrap();
    start();
    for (at += 10; *at != ']';) {
        char *end = end_of_value(at);
        char last = *end;
        *end = 0;
        take(at);
        *end = last;
        at = end + (last == ',');
    }
    char *to = out;
    to += sprintf(to, "{\"op\":\"answer\",\"id\":%llu,\"view\":", number_after(line, "\"id\":"));
    show_view(&to);
    to += sprintf(to, ",\"state\":[");
    show_view(&to);
    to += sprintf(to, ",");
    show_rest(&to);
    to += sprintf(to, "],\"sent\":[%s]}", s.sent);
    puts(out);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static char line[1 << 20];
    s.persist = argc > 1 && strcmp(argv[1], "--persist") == 0;
    arena.size = 64 << 20, arena.base = malloc(arena.size);
    if (arena.base == NULL) give_up("no memory");
    while (fgets(line, sizeof line, stdin)) {
        if (strstr(line, "\"op\":\"describe\"") == NULL) {
            answer(line);
            continue;
        }
        printf("{\"op\":\"describe\",\"protocol\":2,\"messages\":\"opaque\",\"name\":\"canonical-raft%s\","
               "\"version\":\"0.15.0\",\"features\":[\"pre_vote\",\"check_quorum\"],"
               "\"inputs\":{\"timeout\":{},\"heartbeat\":{},\"check_quorum\":{},\"propose\":{},\"restart\":{}%s},"
               "\"fields\":[\"role\",\"term\",\"log\",\"commit\",\"applied\",\"vote\",\"match\",\"durable\"]}\n",
               s.persist ? " with persist" : "", s.persist ? ",\"persist\":{\"at_most\":1000}" : "");
        fflush(stdout);
    }
    return 0;
}
