import io.microraft.RaftConfig;
import io.microraft.RaftEndpoint;
import io.microraft.RaftNode;
import io.microraft.executor.RaftNodeExecutor;
import io.microraft.impl.RaftNodeImpl;
import io.microraft.impl.state.RaftState;
import io.microraft.impl.task.HeartbeatTask;
import io.microraft.model.RaftModelFactory;
import io.microraft.model.impl.DefaultRaftModelFactory;
import io.microraft.model.log.BaseLogEntry;
import io.microraft.model.log.LogEntry;
import io.microraft.model.log.RaftGroupMembersView;
import io.microraft.model.log.SnapshotChunk;
import io.microraft.model.message.*;
import io.microraft.model.persistence.RaftEndpointPersistentState;
import io.microraft.model.persistence.RaftTermPersistentState;
import io.microraft.persistence.RaftStore;
import io.microraft.persistence.RestoredRaftState;
import io.microraft.statemachine.StateMachine;
import io.microraft.transport.Transport;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * MicroRaft (io.microraft:microraft:0.7) behind Lockstep's protocol 2.
 *
 * <pre>javac -cp microraft-0.7.jar:slf4j-api-1.7.36.jar -d out Target.java</pre>
 *
 * The builder of the library takes executor, transport, store, clock and random generator. Here the executor is a list of
 * tasks that are run when no other is left, the transport a list of messages, the store memory that a restart begins
 * with, and time stands still. Of the tasks that the library schedules for later, those of elections run with the input
 * {@code timeout}, the periodic one with {@code timeout} and {@code heartbeat}, the one that lets a leader send again to a
 * silent follower with {@code backoff}. The state is read from all fields of the library, by reflection.
 */
public final class Target {
    private static final long NOW = 1_000_000_000L;
    private static final RaftConfig CONFIG = RaftConfig.newBuilder().setCommitCountToTakeSnapshot(50)
            .setMaxPendingLogEntryCount(10).build();
    private static final RaftModelFactory MODEL = new DefaultRaftModelFactory();

    record Id(int number) implements RaftEndpoint {
        @Override
        public Object getId() {
            return number;
        }
    }

    /** Random numbers that are all the same. */
    static final class Constant extends Random {
        @Override
        public int nextInt(int bound) {
            return 0;
        }
    }

    /** One server, with all that it is given. */
    static final class Server implements RaftNodeExecutor, Transport, RaftStore, StateMachine {
        final Id id;
        final List<Id> all = new ArrayList<>();
        final ArrayDeque<Runnable> due = new ArrayDeque<>();
        final List<Runnable> later = new ArrayList<>();
        final List<String> sent = new ArrayList<>();
        RaftNodeImpl node;

        // On disk.
        RaftEndpointPersistentState endpoint;
        RaftGroupMembersView members;
        RaftTermPersistentState term;
        final TreeMap<Long, LogEntry> log = new TreeMap<>();

        Server(int id, int servers) {
            for (int number = 1; number <= servers; number++) {
                all.add(new Id(number));
            }
            this.id = all.get(id - 1);
            start(false);
            sent.clear(); // A server asks for pre-votes as soon as it starts: the first time, nobody hears it.
        }

        void start(boolean again) {
            due.clear();
            later.clear();
            RaftNode.RaftNodeBuilder builder = RaftNode.newBuilder().setGroupId("group").setConfig(CONFIG)
                    .setExecutor(this).setTransport(this).setStateMachine(this).setStore(this).setModelFactory(MODEL)
                    .setRandom(new Constant()).setClock(Clock.fixed(Instant.ofEpochMilli(NOW), ZoneOffset.UTC));
            if (again && term != null) { // Before its first term a server has nothing to come back to.
                builder.setRestoredState(new RestoredRaftState(endpoint, members, term, null, new ArrayList<>(log.values())));
            } else {
                builder.setLocalEndpoint(id).setInitialGroupMembers(new ArrayList<>(all));
            }
            node = (RaftNodeImpl) builder.build();
            node.start();
            settle();
        }

        RaftState state() {
            return node.state();
        }

        void take(String name, String proposed, String from, String message) {
            sent.clear();
            if (proposed != null) {
                node.replicate(Integer.valueOf(proposed));
            } else if (from != null) {
                node.handle(decode(all.get(Integer.parseInt(from) - 1), message));
            } else if (name.equals("restart")) {
                start(true);
            } else if (name.equals("heartbeat")) {
                run("HeartbeatTask");
            } else if (name.equals("backoff")) {
                run("LeaderBackoffResetTask");
            } else if (name.equals("timeout")) {
                set(node, "lastLeaderHeartbeatTimestamp", 0L);
                if (!run("LeaderElectionTimeoutTask") & !run("PreVoteTimeoutTask")) {
                    run("HeartbeatTask");
                }
            } else {
                throw new IllegalArgumentException("no input is called " + name);
            }
            settle();
        }

        void settle() {
            for (Runnable task = due.poll(); task != null; task = due.poll()) {
                task.run();
            }
            set(node, "lastLeaderHeartbeatTimestamp", Math.min(NOW, (long) get(node, "lastLeaderHeartbeatTimestamp")));
        }

        /** Runs the scheduled tasks of a kind; whether there was one. */
        boolean run(String kind) {
            List<Runnable> tasks = later.stream().filter(it -> it.getClass().getSimpleName().equals(kind)).toList();
            later.removeAll(tasks);
            tasks.forEach(Runnable::run);
            settle();
            return !tasks.isEmpty();
        }

        @Override
        public void execute(Runnable task) {
            due.add(task);
        }

        @Override
        public void submit(Runnable task) {
            due.add(task);
        }

        @Override
        public void schedule(Runnable task, long delay, TimeUnit unit) {
            if (!task.getClass().getSimpleName().equals("RaftStateSummaryPublishTask")) {
                later.add(task);
            }
        }

        @Override
        public void send(RaftEndpoint target, RaftMessage message) {
            sent.add("{\"to\":" + target.getId() + ",\"message\":\"" + encode(message) + "\"}");
        }

        @Override
        public boolean isReachable(RaftEndpoint endpoint) {
            return true;
        }

        @Override
        public void persistAndFlushLocalEndpoint(RaftEndpointPersistentState endpoint) {
            this.endpoint = endpoint;
        }

        @Override
        public void persistAndFlushInitialGroupMembers(RaftGroupMembersView members) {
            this.members = members;
        }

        @Override
        public void persistAndFlushTerm(RaftTermPersistentState term) {
            this.term = term;
        }

        @Override
        public void persistLogEntries(List<LogEntry> entries) {
            entries.forEach(entry -> log.put(entry.getIndex(), entry));
        }

        @Override
        public void truncateLogEntriesFrom(long index) {
            log.tailMap(index, true).clear();
        }

        @Override
        public void truncateLogEntriesUntil(long index) {
            throw new UnsupportedOperationException("these bounds have no snapshot");
        }

        @Override
        public void persistSnapshotChunk(SnapshotChunk chunk) {
            throw new UnsupportedOperationException("these bounds have no snapshot");
        }

        @Override
        public void deleteSnapshotChunks(long index, int count) {
            throw new UnsupportedOperationException("these bounds have no snapshot");
        }

        @Override
        public void flush() {
        }

        @Override
        public Object runOperation(long commitIndex, Object operation) {
            return operation;
        }

        @Override
        public void takeSnapshot(long commitIndex, Consumer<Object> chunks) {
            throw new UnsupportedOperationException("these bounds have no snapshot");
        }

        @Override
        public void installSnapshot(long commitIndex, List<Object> chunks) {
            throw new UnsupportedOperationException("these bounds have no snapshot");
        }

        @Override
        public Object getNewTermOperation() {
            return "term";
        }

        // Answers

        String view() {
            RaftState state = state();
            String role = switch (state.role()) {
                case LEADER -> "leader";
                case CANDIDATE -> "candidate";
                default -> state.preCandidateState() != null ? "pre_candidate" : "follower";
            };
            List<BaseLogEntry> entries = new ArrayList<>();
            for (long index = 1; index <= state.log().lastLogOrSnapshotIndex(); index++) {
                entries.add(state.log().getLogEntry(index));
            }
            String match = state.leaderState() == null ? "" : state.leaderState().getFollowerStates().entrySet().stream()
                    .map(it -> "\"" + it.getKey().getId() + "\":" + it.getValue().matchIndex()).sorted()
                    .collect(Collectors.joining(",", ",\"match\":{", "}"));
            int durable = term == null ? 0 : term.getTerm();
            return "{\"role\":\"" + role + "\",\"term\":" + state.term() + ",\"commit\":" + state.commitIndex()
                    + ",\"applied\":" + state.lastApplied() + ",\"vote\":" + number(state.votedEndpoint()) + ",\"log\":"
                    + show(entries) + ",\"durable\":{\"term\":" + durable + ",\"vote\":"
                    + number(term == null ? null : term.getVotedFor()) + ",\"log\":" + show(log.values()) + "}" + match + "}";
        }

        String internals() {
            StringBuilder out = new StringBuilder();
            dump(state(), out, 0);
            out.append(' ').append(get(node, "lastLeaderHeartbeatTimestamp")).append(' ').append(node.getStatus());
            later.stream().map(Target::task).sorted().forEach(task -> out.append(' ').append(task));
            return out.toString();
        }
    }

    private static String number(RaftEndpoint endpoint) {
        return endpoint == null ? "null" : endpoint.getId().toString();
    }

    private static String show(Collection<? extends BaseLogEntry> entries) {
        return entries.stream().map(it -> "[" + it.getTerm() + ","
                + (it.getOperation() instanceof Integer value ? value.toString() : "\"" + it.getOperation() + "\"") + "]")
                .collect(Collectors.joining(",", "[", "]"));
    }

    private static String task(Runnable task) {
        StringBuilder out = new StringBuilder(task.getClass().getName().replaceAll("/0x.*|\\$\\$Lambda.*", ""));
        for (Field field : task.getClass().getDeclaredFields()) {
            if (field.getType() == int.class || field.getType() == long.class) {
                out.append(' ').append(value(field, task));
            }
        }
        return out.toString();
    }

    // Everything that an object holds, as text. Maps and sets are sorted.

    private static void dump(Object value, StringBuilder out, int depth) {
        if (depth > 30) {
            throw new IllegalStateException("the state has no end");
        }
        if (value == null || value instanceof Number || value instanceof Boolean || value instanceof String
                || value instanceof Enum<?> || value instanceof Id) {
            out.append(value);
        } else if (value instanceof Server || value instanceof RaftModelFactory || value instanceof java.util.concurrent.Future<?>
                || value.getClass().getSimpleName().equals("Long2ObjectHashMap")) {
            out.append('-'); // What the node was given, and the callers that wait.
        } else if (value instanceof Map<?, ?> map) {
            out.append(map.entrySet().stream().map(it -> text(it.getKey(), depth) + "=" + text(it.getValue(), depth)).sorted()
                    .collect(Collectors.joining(",", "{", "}")));
        } else if (value instanceof Set<?> set) {
            out.append(set.stream().map(it -> text(it, depth)).sorted().collect(Collectors.joining(",", "{", "}")));
        } else if (value instanceof Collection<?> list) {
            out.append(list.stream().map(it -> text(it, depth)).collect(Collectors.joining(",", "[", "]")));
        } else if (value.getClass().isArray()) {
            out.append('[');
            for (int place = 0; place < Array.getLength(value); place++) {
                Object item = Array.get(value, place);
                if (item != null) {
                    out.append(place).append(':').append(text(item, depth)).append(',');
                }
            }
            out.append(']');
        } else {
            out.append(value.getClass().getSimpleName()).append('(');
            for (Class<?> type = value.getClass(); type != Object.class; type = type.getSuperclass()) {
                for (Field field : type.getDeclaredFields()) {
                    if (!Modifier.isStatic(field.getModifiers())) {
                        out.append(field.getName()).append('=');
                        dump(value(field, value), out, depth + 1);
                        out.append(' ');
                    }
                }
            }
            out.append(')');
        }
    }

    private static String text(Object value, int depth) {
        StringBuilder out = new StringBuilder();
        dump(value, out, depth + 1);
        return out.toString();
    }

    private static Object value(Field field, Object of) {
        try {
            field.setAccessible(true);
            return field.get(of);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Field field(String name) {
        try {
            Field field = RaftNodeImpl.class.getDeclaredField(name);
            field.setAccessible(true);
            return field;
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Object get(RaftNodeImpl node, String name) {
        return value(field(name), node);
    }

    private static void set(RaftNodeImpl node, String name, long to) {
        try {
            field(name).setLong(node, to);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    // Messages as text: a name, numbers, and entries of the form index:term:value

    private static String encode(RaftMessage m) {
        if (m instanceof AppendEntriesRequest r) {
            return "AppendEntries " + r.getTerm() + " " + r.getPreviousLogTerm() + " " + r.getPreviousLogIndex() + " "
                    + r.getCommitIndex() + " " + r.getQuerySequenceNumber() + " " + r.getFlowControlSequenceNumber()
                    + r.getLogEntries().stream().map(it -> " " + it.getIndex() + ":" + it.getTerm() + ":" + it.getOperation())
                            .collect(Collectors.joining());
        } else if (m instanceof AppendEntriesSuccessResponse r) {
            return "Success " + r.getTerm() + " " + r.getLastLogIndex() + " " + r.getQuerySequenceNumber() + " "
                    + r.getFlowControlSequenceNumber();
        } else if (m instanceof AppendEntriesFailureResponse r) {
            return "Failure " + r.getTerm() + " " + r.getExpectedNextIndex() + " " + r.getQuerySequenceNumber() + " "
                    + r.getFlowControlSequenceNumber();
        } else if (m instanceof VoteRequest r) {
            return "Vote " + r.getTerm() + " " + r.getLastLogTerm() + " " + r.getLastLogIndex() + " " + (r.isSticky() ? 1 : 0);
        } else if (m instanceof VoteResponse r) {
            return "VoteResponse " + r.getTerm() + " " + (r.isGranted() ? 1 : 0);
        } else if (m instanceof PreVoteRequest r) {
            return "PreVote " + r.getTerm() + " " + r.getLastLogTerm() + " " + r.getLastLogIndex();
        } else if (m instanceof PreVoteResponse r) {
            return "PreVoteResponse " + r.getTerm() + " " + (r.isGranted() ? 1 : 0);
        }
        throw new IllegalArgumentException("a message of a kind that these bounds do not have: " + m);
    }

    private static RaftMessage decode(Id sender, String text) {
        String[] words = text.split(" ");
        long[] n = new long[7];
        for (int place = 1; place < Math.min(words.length, 7) && !words[place].contains(":"); place++) {
            n[place] = Long.parseLong(words[place]);
        }
        int term = (int) n[1];
        switch (words[0]) {
            case "AppendEntries": {
                List<LogEntry> entries = new ArrayList<>();
                for (int place = 7; place < words.length; place++) {
                    String[] parts = words[place].split(":");
                    Object operation = parts[2].equals("term") ? parts[2] : Integer.valueOf(parts[2]);
                    entries.add(MODEL.createLogEntryBuilder().setIndex(Long.parseLong(parts[0]))
                            .setTerm(Integer.parseInt(parts[1])).setOperation(operation).build());
                }
                return MODEL.createAppendEntriesRequestBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setPreviousLogTerm((int) n[2]).setPreviousLogIndex(n[3]).setCommitIndex(n[4]).setLogEntries(entries)
                        .setQuerySequenceNumber(n[5]).setFlowControlSequenceNumber(n[6]).build();
            }
            case "Success":
                return MODEL.createAppendEntriesSuccessResponseBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setLastLogIndex(n[2]).setQuerySequenceNumber(n[3]).setFlowControlSequenceNumber(n[4]).build();
            case "Failure":
                return MODEL.createAppendEntriesFailureResponseBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setExpectedNextIndex(n[2]).setQuerySequenceNumber(n[3]).setFlowControlSequenceNumber(n[4]).build();
            case "Vote":
                return MODEL.createVoteRequestBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setLastLogTerm((int) n[2]).setLastLogIndex(n[3]).setSticky(n[4] == 1).build();
            case "VoteResponse":
                return MODEL.createVoteResponseBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setGranted(n[2] == 1).build();
            case "PreVote":
                return MODEL.createPreVoteRequestBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setLastLogTerm((int) n[2]).setLastLogIndex(n[3]).build();
            case "PreVoteResponse":
                return MODEL.createPreVoteResponseBuilder().setGroupId("group").setSender(sender).setTerm(term)
                        .setGranted(n[2] == 1).build();
            default:
                throw new IllegalArgumentException("a message of no known form: " + text);
        }
    }

    // Questions

    private static final Pattern INPUT = Pattern.compile(
            "\\{\"deliver\":\\{\"from\":(\\d+),\"message\":\"([^\"]*)\"\\}\\}|\\{\"propose\":(\\d+)\\}|\"(\\w+)\"");

    private static int number(String line, String key) {
        Matcher found = Pattern.compile("\"" + key + "\":(\\d+)").matcher(line);
        if (!found.find()) {
            throw new IllegalArgumentException("a request without " + key);
        }
        return Integer.parseInt(found.group(1));
    }

    private static String answer(String line) {
        Server server = new Server(number(line, "server"), number(line, "servers"));
        Matcher inputs = INPUT.matcher(line.substring(line.indexOf("\"inputs\":[") + 10));
        while (inputs.find()) {
            server.take(inputs.group(4), inputs.group(3), inputs.group(1), inputs.group(2));
        }
        String view = server.view();
        return "{\"op\":\"answer\",\"id\":" + number(line, "id") + ",\"view\":" + view + ",\"state\":[" + view + ",\""
                + server.internals() + "\"],\"sent\":[" + String.join(",", server.sent) + "]}";
    }

    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = System.out;
        System.setOut(System.err); // Replies go to standard output alone.
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(line.contains("\"op\":\"describe\"")
                    ? "{\"op\":\"describe\",\"protocol\":2,\"messages\":\"opaque\",\"name\":\"microraft\",\"version\":\"0.7\","
                            + "\"features\":[\"pre_vote\",\"check_quorum\"],"
                            + "\"inputs\":{\"timeout\":{},\"heartbeat\":{},\"propose\":{},\"restart\":{},"
                            + "\"backoff\":{\"at_most\":1,\"roles\":[\"leader\"]}},"
                            + "\"fields\":[\"role\",\"term\",\"log\",\"commit\",\"applied\",\"vote\",\"match\",\"durable\"]}"
                    : answer(line));
            out.flush();
        }
    }
}
